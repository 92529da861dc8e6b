import dataclasses
import datetime
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from waiting import until

from ptsys.config import Settings
from ptsys.engine.trainings import Snapshot, Training, TrainingTask
from ptsys.jobs.leases import Claim
from ptsys.jobs.reconciler import reconcile
from ptsys.jobs.service import Service
from ptsys.store.clock import utc_now
from ptsys.types.example import Example
from ptsys.types.training import TrainingSpec
from workers.claimed_jobs import ClaimedJob, ClaimedJobs, Halt


class MovableClock:
    def __init__(self) -> None:
        self.ahead = datetime.timedelta()

    def __call__(self) -> datetime.datetime:
        return utc_now() + self.ahead


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def service(tmp_path: Path, clock: MovableClock) -> Iterator[Service]:
    service = Service(Settings(data_dir=tmp_path, redis_url=None), clock=clock)
    service.datasets.add("d", "ann", [Example("a", "b")])
    yield service
    service.close()


def claimed(service: Service, name: str) -> Claim:
    job = service.submit(TrainingSpec(name=name, dataset="d"), "ann")
    claim = service.leases.claim(job.id, "worker-1")
    assert claim is not None
    return claim


def training(stopped: list[str]) -> Training:
    start = Snapshot.start(np.zeros((1, 1), np.float32))
    task = TrainingTask("t", "ann", TrainingSpec(name="t", dataset="d"), None, start)  # type: ignore[arg-type]
    return Training(task, stopped.append)


def test_there_is_room_for_so_many_and_no_more(service: Service) -> None:
    jobs = ClaimedJobs(service.leases, 2)
    first, second = (jobs.add(claimed(service, name)) for name in ("a", "b"))
    assert (len(jobs), jobs.full) == (2, True)
    jobs.remove(first)
    assert not jobs.full
    assert not jobs.wait_empty(0.01)
    jobs.remove(second)
    assert jobs.wait_empty(0.01)


def test_a_beat_tells_who_was_cancelled_and_who_is_lost(
    service: Service, clock: MovableClock
) -> None:
    jobs = ClaimedJobs(service.leases, 4)
    kept, cancelled, lost = (jobs.add(claimed(service, name)) for name in ("a", "b", "c"))
    clock.ahead += datetime.timedelta(seconds=10)
    service.leases.heartbeat_all([kept.claim, cancelled.claim])
    clock.ahead += datetime.timedelta(seconds=10)
    reconcile(service)
    assert service.leases.claim(lost.claim.job.id, "worker-2") is not None
    service.cancel(cancelled.claim.job.id, "ann")
    jobs.beat()
    assert (kept.halt, cancelled.halt, lost.halt) == (None, Halt.CANCEL, Halt.LOST)


def test_the_gravest_reason_counts(service: Service) -> None:
    claimed_job = ClaimedJob(claimed(service, "a"))
    for reason, counts in (
        (Halt.GIVE_BACK, Halt.GIVE_BACK),
        (Halt.CANCEL, Halt.CANCEL),
        (Halt.GIVE_BACK, Halt.CANCEL),
        (Halt.LOST, Halt.LOST),
        (Halt.CANCEL, Halt.LOST),
    ):
        claimed_job.stop(reason)
        assert claimed_job.halt is counts


def test_a_job_stopped_before_it_trains_stops_when_it_does(service: Service) -> None:
    stopped: list[str] = []
    claimed_job = ClaimedJob(claimed(service, "a"))
    claimed_job.attach(training(stopped))
    assert stopped == []
    claimed_job.stop(Halt.GIVE_BACK)
    assert stopped == ["t"]
    early = ClaimedJob(claimed(service, "b"))
    early.stop(Halt.GIVE_BACK)
    early.attach(training(stopped))
    assert stopped == ["t", "t"]


def test_one_that_runs_alone_waits_until_the_others_gave_their_places_back(
    service: Service,
) -> None:
    jobs = ClaimedJobs(service.leases, 4)
    others = [jobs.add(claimed(service, name)) for name in ("a", "b")]
    alone = jobs.add(dataclasses.replace(claimed(service, "c"), alone=True))
    assert jobs.full  # nobody joins it
    waiting = threading.Thread(target=jobs.send_away_others, args=(alone,))
    waiting.start()
    until(lambda: all(other.halt is Halt.GIVE_BACK for other in others), 10)
    assert alone.halt is None
    for other in others:
        assert waiting.is_alive()
        jobs.remove(other)
    waiting.join(10)
    assert not waiting.is_alive()
    trusted: list[bool] = []
    alone.on_trust = lambda: trusted.append(True)
    alone.trust()
    assert (trusted, jobs.full) == ([True], False)


def test_only_those_named_give_their_places_back(service: Service) -> None:
    jobs = ClaimedJobs(service.leases, 4)
    named, other = (jobs.add(claimed(service, name)) for name in ("a", "b"))
    jobs.give_back([named.claim.job.id], "another's turn")
    assert (named.halt, named.reason, other.halt) == (Halt.GIVE_BACK, "another's turn", None)
