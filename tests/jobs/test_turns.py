"""Users share the places of workers, whatever number of jobs each of them sends."""

from collections.abc import Sequence
from typing import Protocol

import pytest

from ptsys.jobs.leases import Claim
from ptsys.jobs.queue_places import Queues, with_places
from ptsys.jobs.service import Service
from ptsys.jobs.wait_estimate import Running, wait_seconds
from ptsys.types.example import Example
from ptsys.types.records import Job
from ptsys.types.training import TrainingSpec


class Movable(Protocol):
    def move(self, seconds: float) -> None: ...


class OneWorker:
    """A worker of so many places, as far as claims go."""

    def __init__(self, service: Service, places: int) -> None:
        self._leases = service.leases
        self._places = places
        self.held: dict[str, Claim] = {}
        self.steps: dict[str, int] = {}

    def look(self) -> list[str]:
        """Take what waits, and give back what others have a turn for, until nothing changes; whose
        jobs gave their places back."""
        gave: list[str] = []
        while True:
            while len(self.held) < self._places:
                claim = self._leases.claim_next("w", ["tiny"], empty=not self.held)
                if claim is None:
                    break
                self.held[claim.job.id] = claim
            room: list[str] = []
            if len(self.held) == self._places:
                room = self._leases.turns.make_room("w", ["tiny"])
            if not room:
                return gave
            for job in room:
                claim = self.held.pop(job)
                gave.append(claim.job.owner)
                self._leases.release(claim, "a turn of another")

    def advance(self) -> None:
        for job, claim in self.held.items():
            self.steps[job] = self.steps.get(job, 0) + 1
            self._leases.progress(claim, self.steps[job], {})

    @property
    def owners(self) -> list[str]:
        return sorted(claim.job.owner for claim in self.held.values())


def _submit(service: Service, spec: TrainingSpec, owner: str, count: int) -> list[Job]:
    return [
        service.submit(spec.model_copy(update={"name": f"p{number}"}), owner)
        for number in range(count)
    ]


def test_a_user_who_has_all_places_gives_some_back_at_once(
    service: Service, spec: TrainingSpec
) -> None:
    worker = OneWorker(service, 8)
    _submit(service, spec, "ann", 12)
    worker.look()
    assert worker.owners == ["ann"] * 8
    job, *_ = _submit(service, spec, "bob", 1)
    assert worker.look() == ["ann"]
    assert job.id in worker.held
    for number in range(5):
        service.submit(spec.model_copy(update={"name": f"more{number}"}), "bob")
    worker.look()
    assert worker.owners == ["ann"] * 4 + ["bob"] * 4
    assert worker.look() == []  # nobody goes round in circles


def test_of_more_users_than_places_each_has_turns(
    service: Service, spec: TrainingSpec, clock: Movable
) -> None:
    service.datasets.add("reviews", "eve", [Example("so", "so")])
    worker = OneWorker(service, 1)
    for owner, count in (("ann", 20), ("bob", 1), ("eve", 1)):
        _submit(service, spec, owner, count)
    seen = []
    for _ in range(9):
        worker.look()
        seen += worker.owners
        worker.advance()
        assert worker.look() == []  # not before its turn is over
        clock.move(61)
    assert sorted(seen[:3]) == sorted(seen[3:6]) == sorted(seen[6:]) == ["ann", "bob", "eve"]


def test_a_turn_does_not_end_before_it_began(
    service: Service, spec: TrainingSpec, clock: Movable
) -> None:
    """A job that compiles for longer than a turn would otherwise never come to a step."""
    worker = OneWorker(service, 1)
    for owner in ("ann", "bob"):
        _submit(service, spec, owner, 1)
    worker.look()
    clock.move(3600)
    assert worker.look() == []
    worker.advance()
    assert worker.look() == ["ann"]


def test_a_users_own_jobs_do_not_disturb_each_other(
    service: Service, spec: TrainingSpec, clock: Movable
) -> None:
    worker = OneWorker(service, 2)
    jobs = _submit(service, spec, "ann", 4)
    worker.look()
    clock.move(3600)
    assert worker.look() == []
    assert set(worker.held) == {jobs[0].id, jobs[1].id}


def test_two_full_workers_give_back_no_more_places_than_are_wanted(
    service: Service, spec: TrainingSpec
) -> None:
    _submit(service, spec, "ann", 8)
    for number in range(8):
        assert service.leases.claim_next(f"w{number % 2}", ["tiny"]) is not None
    _submit(service, spec, "bob", 1)
    room = [service.leases.turns.make_room(f"w{number % 2}", ["tiny"]) for number in range(4)]
    assert sorted(map(len, room)) == [0, 0, 0, 1]


def test_one_that_is_to_run_alone_waits_for_an_empty_worker_but_not_for_ever(
    service: Service, spec: TrainingSpec, clock: Movable
) -> None:
    [job] = _submit(service, spec, "ann", 1)
    for _ in range(2):
        claim = service.leases.claim(job.id, "w")
        assert claim is not None
        service.leases.fail(claim, "broken", retry=True)
    assert service.leases.claim_next("w", ["tiny"], empty=False) is None
    clock.move(61)
    claim = service.leases.claim_next("w", ["tiny"], empty=False)
    assert claim is not None
    assert claim.alone  # whoever takes it sends the others away


def test_nobody_gives_a_place_back_to_one_who_could_not_take_it(
    service: Service, spec: TrainingSpec, clock: Movable
) -> None:
    [suspect] = _submit(service, spec, "bob", 1)
    for _ in range(2):
        claim = service.leases.claim(suspect.id, "w")
        assert claim is not None
        service.leases.fail(claim, "broken", retry=True)
    worker = OneWorker(service, 2)
    _submit(service, spec, "ann", 4)
    while len(worker.held) < 2:  # the worker has others when it comes
        claim = service.leases.claim_next("w", ["tiny"], empty=False)
        assert claim is not None
        worker.held[claim.job.id] = claim
    assert worker.look() == []
    clock.move(61)
    assert worker.look() == ["ann"]
    assert suspect.id in worker.held


def test_the_queue_tells_the_place_in_it(
    service: Service, spec: TrainingSpec, clock: Movable
) -> None:
    worker = OneWorker(service, 2)
    ann = _submit(service, spec.model_copy(update={"steps": 100}), "ann", 4)
    worker.look()
    [bob] = _submit(service, spec, "bob", 1)
    jobs = [service.get(job.id, None) for job in [*ann, bob]]
    first = with_places(service, jobs, {"tiny": 2})
    assert [job.queue and job.queue.position for job in first] == [None, None, 2, 3, 1]
    assert first[4].queue is not None
    assert first[2].queue is not None
    assert first[4].queue.seconds == 0.0  # ann has two, so one goes at once
    assert first[2].queue.seconds is None  # nobody knows yet how fast they are
    clock.move(1000)
    for claim in worker.held.values():
        service.leases.progress(claim, 20, {})
    told = with_places(service, jobs, {"tiny": 2})[2].queue
    assert told is not None
    assert told.seconds == pytest.approx(4000.0, rel=0.1)  # 80 steps left, 50 s each
    assert told.waiting == 3
    nobody = with_places(service, jobs, {})[2].queue
    assert nobody is not None
    assert (nobody.seconds, "no worker" in nobody.basis) == (None, True)


def test_a_queue_that_is_asked_about_again_is_read_once_in_a_while(
    service: Service, spec: TrainingSpec
) -> None:
    _submit(service, spec, "ann", 3)
    queues = Queues(service, keep=1e6)
    jobs = service.list(None)

    def places(found: Sequence[Job]) -> list[int]:
        return sorted(job.queue.position for job in found if job.queue is not None)

    assert places(queues.told(jobs, {"tiny": 1})) == [1, 2, 3]
    service.cancel(jobs[0].id, None)
    assert places(queues.told(jobs[1:], {"tiny": 1})) == [1, 2]  # as it was
    (late,) = _submit(service, spec, "bob", 1)
    assert places(queues.told([*jobs[1:], late], {"tiny": 1})) == [1, 2, 3]  # read anew for it
    assert Queues(service, keep=0.0).told([late], {"tiny": 1})[0].queue is not None


def test_the_order_told_is_the_order_of_claims(service: Service, spec: TrainingSpec) -> None:
    _submit(service, spec, "ann", 3)
    _submit(service, spec, "bob", 2)
    told = with_places(service, service.list(None), {"tiny": 1})
    by_place = {job.queue.position: job.id for job in told if job.queue is not None}
    taken = []
    while (claim := service.leases.claim_next("w", ["tiny"])) is not None:
        taken.append(claim.job.id)
    assert taken == [by_place[place] for place in range(1, 6)]


ANN = Running("ann", 5, None)


@pytest.mark.parametrize(
    ("running", "waiting", "places", "expected"),
    [
        ([], ["ann"], 1, [0.0]),
        ([Running("ann", 5, 30.0)], ["ann"], 1, [30.0]),
        ([ANN], ["ann"], 1, [None]),
        ([ANN], ["bob"], 1, [55.0]),  # when its turn of 60 s is over
        ([Running("ann", 5, 20.0)], ["bob"], 1, [20.0]),  # or when it ends before
        ([Running("ann", 500, None)], ["bob"], 1, [0.0]),
        ([ANN], ["bob", "eve"], 1, [55.0, 115.0]),
        ([ANN] * 3, ["bob", "bob"], 3, [0.0, 55.0]),
        ([Running("ann", 1, 10.0), Running("ann", 1, 30.0)], ["ann"] * 3, 2, [10.0, 30.0, None]),
    ],
)
def test_waits_follow_from_what_is_known(
    running: list[Running], waiting: list[str], places: int, expected: list[float | None]
) -> None:
    assert wait_seconds(running, waiting, places, turn=60.0) == expected
