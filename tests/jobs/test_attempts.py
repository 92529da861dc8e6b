"""Attempts count only without progress, suspects run alone, and who slept judges nobody."""

import threading
from typing import NoReturn, Protocol

import pytest

from ptsys.errors import Unavailable
from ptsys.jobs.leases import Claim
from ptsys.jobs.reconciler import Reconciler, Report, reconcile, run_reconciler
from ptsys.jobs.service import Service
from ptsys.store.clock import utc_now
from ptsys.types.records import JobState
from ptsys.types.training import TrainingSpec


class Movable(Protocol):
    def move(self, seconds: float) -> None: ...


def _submitted(service: Service, spec: TrainingSpec, name: str) -> str:
    return service.submit(spec.model_copy(update={"name": name}), "ann").id


def _claimed(service: Service, job: str, *, empty: bool = True) -> Claim:
    claim = service.leases.claim(job, "w", empty=empty)
    assert claim is not None
    return claim


def _die(service: Service, clock: Movable) -> Report:
    """The worker of all running jobs dies."""
    clock.move(16)
    return reconcile(service)


def test_a_job_that_comes_further_each_time_never_fails(
    service: Service, spec: TrainingSpec, clock: Movable
) -> None:
    job = _submitted(service, spec, "p")
    for step in range(20, 400, 20):
        claim = _claimed(service, job)
        service.leases.checkpoint(claim, step)
        assert service.get(job, "ann").attempts == 0
        _die(service, clock)
        assert service.get(job, "ann").attempts == 1
    claim = _claimed(service, job)
    assert service.leases.fail(claim, "out of memory", retry=True).state is JobState.QUEUED


def test_coming_as_far_as_before_is_no_progress(
    service: Service, spec: TrainingSpec, clock: Movable
) -> None:
    job = _submitted(service, spec, "p")
    reports = []
    for _ in range(3):
        claim = _claimed(service, job)
        service.leases.progress(claim, 39, {})
        service.leases.checkpoint(claim, 20)
        reports.append(_die(service, clock))
    assert [report.failed for report in reports] == [(), (), (job,)]
    ended = service.get(job, "ann")
    assert (ended.state, ended.attempts, ended.step) == (JobState.FAILED, 3, 39)


@pytest.mark.parametrize("poison", ["at once", "after a checkpoint"])
def test_one_users_poison_fails_alone(
    service: Service, spec: TrainingSpec, clock: Movable, poison: str
) -> None:
    """Its worker dies whenever it runs: it fails, and its neighbours, who never come as far as a
    checkpoint in its company, do not."""
    bad = _submitted(service, spec, "bad")
    good = {_submitted(service, spec, f"good{number}") for number in range(5)}
    ended: list[str] = []
    for _ in range(40):
        held: list[Claim] = []
        while not any(claim.alone for claim in held):
            claim = service.leases.claim_next("w", ["tiny"], empty=not held)
            if claim is None:
                break
            held.append(claim)
        if not held:
            break
        assert len(held) == 1 or not any(claim.alone for claim in held)
        if bad in {claim.job.id for claim in held}:
            if poison == "after a checkpoint":
                service.leases.checkpoint(next(c for c in held if c.job.id == bad), 10)
            ended += _die(service, clock).failed
            continue
        for claim in held:
            service.leases.checkpoint(claim, 50)
            service.leases.cancelled(claim)  # the end of it
    assert ended == [bad]
    assert {service.get(job, "ann").state for job in good} == {JobState.CANCELLED}
    assert "without progress" in (service.get(bad, "ann").error or "")


def test_who_runs_alone_bears_company_again_after_some_checkpoints(
    service: Service, spec: TrainingSpec, clock: Movable
) -> None:
    job = _submitted(service, spec, "p")
    for _ in range(2):
        assert not _claimed(service, job, empty=False).alone
        _die(service, clock)
    assert service.leases.claim(job, "w", empty=False) is None
    assert service.leases.claim_next("w", ["tiny"], empty=False) is None
    claim = service.leases.claim_next("w", ["tiny"])
    assert claim is not None
    assert claim.alone
    assert service.leases.checkpoint(claim, 50) is True
    assert service.leases.checkpoint(claim, 50) is True  # no progress
    assert service.leases.checkpoint(claim, 100) is False
    service.leases.release(claim, "drain")
    assert not _claimed(service, job, empty=False).alone


def test_a_suspended_reconciler_charges_nobody(
    service: Service, spec: TrainingSpec, clock: Movable
) -> None:
    reconciler = Reconciler(service)
    slept, dead = (_submitted(service, spec, name) for name in ("slept", "dead"))
    claim, _ = _claimed(service, slept), _claimed(service, dead)
    assert reconciler.look() == Report()
    clock.move(8 * 3600)  # the lid was closed
    assert reconciler.look() == Report()
    clock.move(4)
    assert service.leases.heartbeat(claim) is False  # its worker woke too
    assert reconciler.look() == Report()
    found: list[str] = []
    for _ in range(3):
        clock.move(4)
        found += reconciler.look().requeued
    assert found == [dead]
    assert service.get(slept, "ann").attempts == 0


def test_a_reconciler_that_could_not_see_charges_nobody(
    service: Service, spec: TrainingSpec, clock: Movable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the database was away no worker could renew its leases."""
    reconciler = Reconciler(service)
    claim = _claimed(service, _submitted(service, spec, "p"))
    assert reconciler.look() == Report()
    with monkeypatch.context() as patch:
        for _ in range(12):
            clock.move(5)
            patch.setattr(service.database, "reading", _away)
            with pytest.raises(Unavailable):
                reconciler.look()
    assert reconciler.look() == Report()
    service.leases.heartbeat(claim)
    clock.move(10)
    assert reconciler.look() == Report()


def _away() -> NoReturn:
    raise Unavailable("the database is away")


def test_a_clock_set_back_charges_nobody_and_hides_no_dead_worker(
    service: Service, spec: TrainingSpec, clock: Movable
) -> None:
    reconciler = Reconciler(service)
    alive, dead = (_submitted(service, spec, name) for name in ("alive", "dead"))
    claim, _ = _claimed(service, alive), _claimed(service, dead)
    assert reconciler.look() == Report()
    clock.move(-3600)
    assert reconciler.look() == Report()
    service.leases.heartbeat(claim)
    found: list[str] = []
    for _ in range(4):
        clock.move(4)
        service.leases.heartbeat(claim)
        found += reconciler.look().requeued
    assert found == [dead]


def test_a_cancelled_job_ends_even_for_one_who_slept(
    service: Service, spec: TrainingSpec, clock: Movable
) -> None:
    job = _submitted(service, spec, "p")
    claim = _claimed(service, job)
    reconciler = Reconciler(service)
    reconciler.look()
    clock.move(3600)
    service.leases.release(claim, "drain")
    with service.database.session() as session:
        from ptsys.store.tables import JobRow

        session.get_one(JobRow, job).cancel_requested = True
    assert reconciler.look().cancelled == (job,)


def test_the_loop_remembers_when_it_looked(
    service: Service, spec: TrainingSpec, clock: Movable
) -> None:
    job = _submitted(service, spec, "p")
    _claimed(service, job)
    settings = service.settings.model_copy(update={"reconcile_seconds": 0.02})
    service.settings = settings
    stop, looks = threading.Event(), []
    real = service.forget_keys

    def forget(older_than: object) -> int:
        looks.append(utc_now())
        if len(looks) == 2:
            clock.move(3600)
        if len(looks) == 6:
            stop.set()
        return real(older_than)  # type: ignore[arg-type]

    service.forget_keys = forget  # type: ignore[method-assign]
    run_reconciler(service, stop)
    assert service.get(job, "ann").state is JobState.RUNNING
