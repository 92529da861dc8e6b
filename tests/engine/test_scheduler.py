"""The scheduler: fairness, waiting and turns, without a device."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptsys.engine.scheduler import FairQueue, Item, Limits, Scheduler, Step


def limits(items: int, rows: int):
    return lambda group: Limits(items, rows)


def queue_of(*items: Item[str], recurring: bool = True) -> FairQueue[str]:
    queue: FairQueue[str] = FairQueue(recurring=recurring)
    for item in items:
        queue.add(item)
    return queue


def two_begin(scheduler: Scheduler[str], now: float, rows: int = 1) -> Step[str]:
    """Two requests of so many rows come in, and run as one step from `now` on."""
    for number in range(2):
        scheduler.request(Item(f"first{number}", "ann", "a", rows), 0.0)
    running = scheduler.next(now, limits(8, 8))
    assert running is not None
    scheduler.began(running, now)
    return running


def test_all_of_a_group_go_together_when_there_is_room():
    queue = queue_of(*(Item(f"j{i}", f"u{i}", "a", 8) for i in range(16)))
    assert len(queue.pick(limits(16, 128))) == 16


def test_a_user_with_many_jobs_gets_no_more_than_one_with_one():
    many = [Item(f"many{i}", "many", "a", 8) for i in range(9)]
    queue = queue_of(*many, Item("single", "one", "a", 8))
    served: Counter[str] = Counter()
    for _ in range(200):
        for item in queue.pick(limits(2, 16)):
            served[item.user] += item.rows
    assert abs(served["many"] - served["one"]) <= 0.1 * served["one"]


def test_users_with_unlike_batches_share_rows_not_steps():
    queue = queue_of(Item("big", "b", "a", 32), *(Item(f"s{i}", "s", "a", 4) for i in range(8)))
    served: Counter[str] = Counter()
    for _ in range(300):
        for item in queue.pick(limits(8, 32)):
            served[item.user] += item.rows
    assert 0.6 < served["s"] / served["b"] < 1.7


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.sampled_from("abc"), st.integers(1, 16)),
        min_size=1,
        max_size=20,
    ),
    st.integers(1, 6),
)
def test_nobody_starves_and_limits_hold(jobs, most_items):
    queue = queue_of(*(Item(f"j{i}", f"u{u}", g, r) for i, (u, g, r) in enumerate(jobs)))
    seen: Counter[str] = Counter()
    for _ in range(40 * len(jobs)):
        picked = queue.pick(limits(most_items, 16))
        assert picked
        assert len({item.group for item in picked}) == 1
        assert len(picked) <= most_items
        assert sum(item.rows for item in picked) <= 16
        assert len({item.key for item in picked}) == len(picked)
        seen.update(item.key for item in picked)
    assert set(seen) == {f"j{i}" for i in range(len(jobs))}


def test_a_group_that_cannot_run_does_not_hold_up_the_others():
    queue = queue_of(Item("slow", "u", "compiling", 8), Item("ok", "u", "ready", 8))
    picked = queue.pick(lambda group: None if group == "compiling" else Limits(4, 64))
    assert [item.key for item in picked] == ["ok"]


def test_removed_items_are_never_picked_again():
    queue = queue_of(Item("a", "u", "g", 8), Item("b", "v", "g", 8))
    assert queue.remove("a")
    assert not queue.remove("a")
    assert [item.key for item in queue.pick(limits(4, 64))] == ["b"]


def test_a_lone_request_goes_at_once_and_company_is_waited_for_only_after_company():
    scheduler: Scheduler[str] = Scheduler(max_wait=0.010)
    scheduler.request(Item("r1", "u", "g", 1), now=0.0)
    assert scheduler.next(0.0, limits(8, 8)) is not None
    scheduler.request(Item("r2", "u", "g", 1), now=1.0)
    scheduler.request(Item("r3", "v", "g", 1), now=1.0)
    step = scheduler.next(1.0, limits(8, 8))
    assert step is not None
    assert len(step.items) == 2
    scheduler.request(Item("r4", "u", "g", 1), now=2.0)
    assert scheduler.next(2.0, limits(8, 8)) is None
    assert scheduler.wait(2.004) is not None
    assert scheduler.next(2.011, limits(8, 8)) is not None


def test_more_than_a_step_holds_does_not_wait():
    scheduler: Scheduler[str] = Scheduler(max_wait=10.0)
    for i in range(2):
        scheduler.request(Item(f"a{i}", "u", "g", 1), now=0.0)
    scheduler.next(0.0, limits(8, 8))
    for i in range(9):
        scheduler.request(Item(f"b{i}", "u", "g", 1), now=1.0)
    assert scheduler.next(1.0, limits(8, 8)) is not None


def test_training_gets_a_turn_between_two_interactive_steps():
    scheduler: Scheduler[str] = Scheduler(max_wait=0.0)
    scheduler.training.add(Item("job", "t", "train", 8))
    kinds = []
    for i in range(6):
        scheduler.request(Item(f"r{i}", "u", "g", 1), now=float(i))
        step = scheduler.next(float(i), limits(8, 8))
        assert step is not None
        kinds.append(step.interactive)
    assert kinds == [True, False, True, False, True, False]


def test_behind_a_running_step_requests_gather_until_as_many_wait():
    scheduler: Scheduler[str] = Scheduler(max_wait=0.003)
    two_begin(scheduler, 1.0, rows=2)
    scheduler.request(Item("second", "bob", "a", 2), 1.0)
    assert scheduler.next(2.0, limits(8, 8)) is None
    assert scheduler.wait(2.0) is None  # no clock will change that
    scheduler.request(Item("third", "eve", "a", 2), 2.0)
    together = scheduler.next(2.1, limits(8, 8))
    assert together is not None
    assert len(together.items) == 2


def test_when_the_running_step_ends_whoever_waits_goes():
    scheduler: Scheduler[str] = Scheduler(max_wait=0.003)
    scheduler.request(Item("first", "ann", "a", 4), 0.0)
    running = scheduler.next(0.0, limits(8, 8))
    assert running is not None
    scheduler.began(running, 0.0)
    scheduler.request(Item("second", "bob", "a", 1), 0.001)
    assert scheduler.next(1.0, limits(8, 8)) is None
    scheduler.ended(running, 1.0)
    assert scheduler.next(1.0, limits(8, 8)) is not None


def test_patience_is_a_seventh_of_the_last_step_and_begins_when_the_device_is_free():
    scheduler: Scheduler[str] = Scheduler(max_wait=0.05)
    running = two_begin(scheduler, 1.0)
    scheduler.request(Item("second", "bob", "a", 1), 1.1)
    scheduler.ended(running, 1.14)  # it took 0.14 s
    assert scheduler.next(1.159, limits(8, 8)) is None
    assert scheduler.wait(1.159) == pytest.approx(0.001)
    assert scheduler.next(1.161, limits(8, 8)) is not None


def test_when_all_are_back_nobody_waits_any_longer():
    scheduler: Scheduler[str] = Scheduler(max_wait=10.0)
    running = two_begin(scheduler, 0.0)
    scheduler.request(Item("waiting", "bob", "a", 1), 1.0)
    scheduler.ended(running, 70.0)
    scheduler.request(Item("back0", "ann", "a", 1), 70.1)
    assert scheduler.next(70.1, limits(8, 8)) is None
    scheduler.request(Item("back1", "ann", "a", 1), 70.2)
    together = scheduler.next(70.2, limits(8, 8))
    assert together is not None
    assert len(together.items) == 3
