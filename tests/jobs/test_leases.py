import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ptsys.config import Settings
from ptsys.errors import Conflict, LeaseLost
from ptsys.jobs.leases import Claim, Leases, new_worker_id
from ptsys.jobs.reconciler import reconcile
from ptsys.jobs.service import Service
from ptsys.store.clock import utc_now
from ptsys.types.example import Example
from ptsys.types.records import Job, JobState, Prompt
from ptsys.types.training import TrainingSpec


class Movable(Protocol):
    def move(self, seconds: float) -> None: ...


def _prompt(service: Service, job: Job) -> Prompt:
    return Prompt(
        id=service.prompts.new_id(),
        name=job.spec.name,
        owner=job.owner,
        model=job.spec.model,
        model_fingerprint="f",
        length=16,
        d_model=64,
        created=utc_now(),
        job=job.id,
        steps=300,
    )


def test_linked_prompts_are_recorded_all_or_none(service: Service, spec: TrainingSpec) -> None:
    claim = _claim(service, spec)
    prompt = _prompt(service, claim.job)
    linked = [
        prompt.model_copy(
            update={
                "id": service.prompts.new_id(),
                "name": f"p.{task}",
                "general": prompt.id,
                "combination": "add",
                "task": task,
            }
        )
        for task in ("a", "b")
    ]
    service.prompts.add(_prompt(service, claim.job).model_copy(update={"name": "p.b"}))
    with pytest.raises(Conflict, match=r"p\.b"):
        service.leases.succeed(claim, prompt, {}, linked)
    assert [x.name for x in service.prompts.list("ann")] == ["p.b"]
    assert service.get(claim.job.id, "ann").state is JobState.RUNNING
    service.prompts.delete("p.b", "ann")
    service.leases.succeed(claim, prompt, {}, linked)
    assert service.prompts.linked(prompt, "ann") == linked
    with pytest.raises(Conflict, match=r"p\.a, p\.b; delete those 2"):
        service.prompts.delete("p", "ann")
    service.prompts.delete("p.a", "ann")
    service.prompts.delete("p.b", "ann")
    service.prompts.delete("p", "ann")


def _claim(service: Service, spec: TrainingSpec) -> Claim:
    claim = service.leases.claim(service.submit(spec, "ann").id, "w1")
    assert claim is not None
    return claim


@pytest.mark.parametrize("by", ["id", "next"])
def test_of_32_workers_exactly_one_gets_the_job(
    service: Service, spec: TrainingSpec, by: str
) -> None:
    job = service.submit(spec, "ann")
    start = threading.Barrier(32)

    def race(number: int) -> Claim | None:
        start.wait()
        if by == "id":
            return service.leases.claim(job.id, f"w{number}")
        return service.leases.claim_next(f"w{number}", ["tiny"])

    with ThreadPoolExecutor(32) as pool:
        won = [claim for claim in pool.map(race, range(32)) if claim is not None]
    assert len(won) == 1
    assert service.get(job.id, "ann").worker == won[0].worker


def test_a_doubled_message_is_harmless(service: Service, spec: TrainingSpec) -> None:
    claim = _claim(service, spec)
    assert service.leases.claim(claim.job.id, "w1") is None
    assert service.leases.claim(claim.job.id, "w2") is None
    assert service.leases.heartbeat(claim) is False


WRITES: dict[str, Callable[[Service, Claim], object]] = {
    "heartbeat": lambda s, c: s.leases.heartbeat(c),
    "progress": lambda s, c: s.leases.progress(c, 9, {"loss": 9.0}),
    "event": lambda s, c: s.leases.event(c, "log", {"line": "x"}),
    "release": lambda s, c: s.leases.release(c, "draining"),
    "succeed": lambda s, c: s.leases.succeed(c, _prompt(s, c.job), {}),
    "fail": lambda s, c: s.leases.fail(c, "x", retry=False),
    "retry": lambda s, c: s.leases.fail(c, "x", retry=True),
    "cancelled": lambda s, c: s.leases.cancelled(c),
}


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("how", ["taken by another", "taken by itself", "taken back", "ended"])
def test_who_lost_the_lease_writes_nothing(
    service: Service, spec: TrainingSpec, clock: Movable, write: str, how: str
) -> None:
    stale = _claim(service, spec)
    service.leases.progress(stale, 5, {"loss": 1.0})
    if how == "ended":
        service.leases.cancelled(stale)
    else:
        clock.move(16)
    if how.startswith("taken by"):
        reconcile(service)
        taker = "w2" if how == "taken by another" else "w1"
        assert service.leases.claim(stale.job.id, taker) is not None
    elif how == "taken back":
        assert reconcile(service).requeued == (stale.job.id,)
    before = service.get(stale.job.id, "ann"), service.events(stale.job.id, "ann")
    with pytest.raises(LeaseLost):
        WRITES[write](service, stale)
    assert (service.get(stale.job.id, "ann"), service.events(stale.job.id, "ann")) == before
    assert service.prompts.list("ann") == []


def test_heartbeats_keep_the_lease(service: Service, spec: TrainingSpec, clock: Movable) -> None:
    claim = _claim(service, spec)
    for _ in range(3):
        clock.move(10)
        service.leases.heartbeat(claim)
        assert service.leases.claim(claim.job.id, "w2") is None
        assert reconcile(service).requeued == ()


def test_heartbeats_of_many_jobs_tell_of_each(
    service: Service, spec: TrainingSpec, clock: Movable
) -> None:
    claims = {}
    for name in ("held", "lost", "cancel"):
        job = service.submit(spec.model_copy(update={"name": name}), "ann")
        claims[name] = service.leases.claim(job.id, "w1")
    clock.move(10)
    held, lost, cancel = (claim for claim in claims.values() if claim is not None)
    service.leases.heartbeat_all([held, cancel])
    clock.move(10)
    assert reconcile(service).requeued == (lost.job.id,)
    assert service.leases.claim(lost.job.id, "w2") is not None
    service.cancel(cancel.job.id, "ann")
    beats = service.leases.heartbeat_all([held, lost, cancel])
    assert beats.held == {held.job.id, cancel.job.id}
    assert beats.lost == {lost.job.id}
    assert beats.cancel == {cancel.job.id}
    assert service.leases.heartbeat(cancel) is True
    assert reconcile(service).requeued == ()
    assert service.leases.heartbeat_all([]).held == frozenset()


def test_a_silent_workers_job_waits_for_the_reconciler_and_counts_an_attempt(
    service: Service, spec: TrainingSpec, clock: Movable
) -> None:
    first = _claim(service, spec)
    service.leases.progress(first, 50, {"loss": 2.0})
    clock.move(16)
    assert service.leases.claim_next("w2", ["tiny"]) is None  # only one place judges silence
    reconcile(service)
    second = service.leases.claim_next("w2", ["tiny"])
    assert second is not None
    assert second.fence > first.fence
    assert (second.job.attempts, second.job.step, second.job.worker) == (1, 50, "w2")


def test_draining_keeps_the_step_and_counts_no_attempt(
    service: Service, spec: TrainingSpec
) -> None:
    for step in range(1, 6):
        claim = service.leases.claim_next("w", ["tiny"])
        if claim is None:
            claim = _claim(service, spec)
        service.leases.progress(claim, step, {})
        job = service.leases.release(claim, "draining")
        assert (job.state, job.step, job.attempts) == (JobState.QUEUED, step, 0)
        assert job.worker is None


def test_a_fault_of_the_service_is_retried_until_the_limit(
    service: Service, spec: TrainingSpec
) -> None:
    job = service.submit(spec, "ann")
    states = []
    for _ in range(3):
        claim = service.leases.claim(job.id, "w")
        assert claim is not None
        states.append(service.leases.fail(claim, "out of\nmemory\0", "trace", retry=True).state)
    assert states == [JobState.QUEUED, JobState.QUEUED, JobState.FAILED]
    ended = service.get(job.id, "ann")
    assert (ended.error, ended.traceback, ended.attempts) == ("out of memory", "trace", 3)
    assert service.leases.claim(job.id, "w") is None


def test_a_fault_of_the_user_fails_at_once(service: Service, spec: TrainingSpec) -> None:
    claim = _claim(service, spec)
    job = service.leases.fail(claim, "x" * 10_000, "t" * 100_000, retry=False)
    assert job.state is JobState.FAILED
    assert len(job.error or "") == 500
    assert len(job.traceback or "") == 20_000
    service.submit(spec, "ann")  # the name is free again


def test_success_records_the_prompt_with_it(service: Service, spec: TrainingSpec) -> None:
    claim = _claim(service, spec)
    prompt = _prompt(service, claim.job)
    job = service.leases.succeed(claim, prompt, {"loss": float("nan")})
    assert (job.state, job.prompt, job.worker) == (JobState.SUCCEEDED, prompt.id, None)
    assert job.metrics["loss"] != job.metrics["loss"]
    assert service.prompts.get("p", "ann") == prompt
    last = service.events(job.id, "ann")[-1]
    assert last.data == {"state": "succeeded", "prompt": prompt.id}


def test_what_is_told_again_because_the_answer_was_lost_is_told_once(
    service: Service, spec: TrainingSpec
) -> None:
    claim = _claim(service, spec)
    leases, job = service.leases, claim.job.id

    def told() -> list[tuple[str, int]]:
        events = service.events(job, "ann")
        return [(event.kind, event.data["step"]) for event in events if event.kind != "state"]

    for _ in range(2):
        leases.progress(claim, 10, {"loss": 1.5})
        leases.checkpoint(claim, 10)
        leases.event(claim, "evaluation", {"step": 10, "accuracy": 0.5})
    once = [("progress", 10), ("checkpoint", 10), ("evaluation", 10)]
    assert told() == once
    leases.release(claim, "draining")
    again = leases.claim(job, "w2")
    assert again is not None
    leases.progress(again, 10, {"loss": 1.5})  # another worker, which resumed before it
    assert told() == [*once, ("progress", 10)]


def test_who_was_told_that_a_job_is_cancelled_sees_no_success(
    service: Service, spec: TrainingSpec
) -> None:
    claim = _claim(service, spec)
    service.cancel(claim.job.id, "ann")  # while its worker writes the prompt's tensor
    job = service.leases.succeed(claim, _prompt(service, claim.job), {})
    assert (job.state, job.prompt, job.worker) == (JobState.CANCELLED, None, None)
    assert service.prompts.list("ann") == []
    assert service.events(job.id, "ann")[-1].data == {"state": "cancelled"}


def test_a_name_taken_meanwhile_leaves_the_job_running(
    service: Service, spec: TrainingSpec
) -> None:
    claim = _claim(service, spec)
    other = _prompt(service, claim.job)
    with pytest.raises(Conflict):
        service.prompts.add(other)  # the door is shut while the job runs
    with service.database.session() as session:
        from ptsys.store.prompts import insert_prompt

        insert_prompt(session, other)
    with pytest.raises(Conflict):
        service.leases.succeed(claim, _prompt(service, claim.job), {})
    assert service.get(claim.job.id, "ann").state is JobState.RUNNING


def test_owners_take_turns(service: Service, spec: TrainingSpec) -> None:
    for name in "abcd":
        service.submit(spec.model_copy(update={"name": name}), "ann")
    service.submit(spec, "bob")
    owners = []
    while (claim := service.leases.claim_next("w", ["other", "tiny"])) is not None:
        owners.append(claim.job.owner)
    assert owners == ["ann", "bob", "ann", "ann", "ann"]


def test_a_worker_takes_only_its_models_jobs(service: Service, spec: TrainingSpec) -> None:
    service.submit(spec, "ann")
    assert service.leases.claim_next("w", ["other"]) is None
    assert service.leases.claim_next("w", []) is None


def test_every_life_of_a_worker_has_its_own_id() -> None:
    assert len({new_worker_id() for _ in range(1000)}) == 1000


def test_32_workers_share_64_jobs_without_a_double(service: Service, spec: TrainingSpec) -> None:
    for number in range(64):
        service.submit(
            spec.model_copy(update={"name": f"p{number}"}), "ann" if number % 3 else "bob"
        )

    def work(number: int) -> list[str]:
        done = []
        while (claim := service.leases.claim_next(f"w{number}", ["tiny"])) is not None:
            service.leases.progress(claim, 1, {})
            service.leases.cancelled(claim)
            done.append(claim.job.id)
        return done

    with ThreadPoolExecutor(32) as pool:
        done = [job for jobs in pool.map(work, range(32)) for job in jobs]
    # a worker may find only jobs that others are just taking, and leave: none is done twice
    assert len(done) == len(set(done))
    left = work(99)
    assert len(set(done) | set(left)) == len(done) + len(left) == 64


def test_any_order_of_acts_keeps_the_books_straight(
    tmp_path_factory: pytest.TempPathFactory, clock: Movable
) -> None:
    class Lives(RuleBasedStateMachine):
        """Two workers, one job: whatever happens, one hold at most, and the fence only grows."""

        def __init__(self) -> None:
            super().__init__()
            folder = tmp_path_factory.mktemp("lives")
            self.service = Service(Settings(data_dir=folder, max_attempts=4), clock=clock)  # type: ignore[arg-type]
            self.service.datasets.add("reviews", "ann", [Example("a", "b")])
            self.job = self.service.submit(TrainingSpec(name="p", dataset="reviews"), "ann").id
            self.claims: list[Claim] = []
            self.steps = 0

        @property
        def leases(self) -> Leases:
            return self.service.leases

        @rule()
        def claim(self) -> None:
            claim = self.leases.claim(self.job, f"w{len(self.claims)}")
            if claim is not None:
                assert all(claim.fence > old.fence for old in self.claims)
                self.claims.append(claim)

        @rule()
        def pass_time(self) -> None:
            clock.move(16)

        @rule()
        def reconcile(self) -> None:
            reconcile(self.service)

        @rule()
        def cancel(self) -> None:
            if not self.service.get(self.job, "ann").state.final:
                self.service.cancel(self.job, "ann")

        @rule()
        def act(self) -> None:
            alive = []
            for claim in self.claims:
                try:
                    self.leases.progress(claim, claim.fence, {})
                except LeaseLost:
                    continue
                alive.append(claim)
            assert len(alive) <= 1
            assert all(claim is self.claims[-1] for claim in alive)

        @rule()
        def save(self) -> None:
            if self.claims:
                try:
                    self.leases.checkpoint(self.claims[-1], self.steps + 1)
                except LeaseLost:
                    return
                self.steps += 1
                assert self.service.get(self.job, "ann").attempts == 0

        @rule()
        def drain(self) -> None:
            if self.claims:
                try:
                    self.leases.release(self.claims[-1], "draining")
                except LeaseLost:
                    return

        @invariant()
        def books(self) -> None:
            job = self.service.get(self.job, "ann")
            assert 0 <= job.attempts <= 4
            assert (job.attempts < 4) or job.state.final
            assert (job.worker is not None) == (job.state is JobState.RUNNING)
            assert (job.finished is not None) == job.state.final
            events = self.service.events(self.job, "ann")
            assert [event.sequence for event in events] == list(range(1, len(events) + 1))
            states = [event.data["state"] for event in events if event.kind == "state"]
            assert states[-1] == job.state

        def teardown(self) -> None:
            self.service.close()

    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Lives, settings=hypothesis_settings(max_examples=15, stateful_step_count=20, deadline=None)
    )
