"""Jobs that ended long ago are forgotten with their events; nothing else is."""

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ptsys.errors import NotFound
from ptsys.jobs import retention
from ptsys.jobs.retention import forget_jobs
from ptsys.jobs.service import Service
from ptsys.store.clock import utc_now
from ptsys.store.tables import EventRow, IdempotencyRow, JobRow, JobSourceRow
from ptsys.types.records import Job, JobState, Prompt
from ptsys.types.training import TrainingSpec

DAY = 24 * 3600.0


class Movable(Protocol):
    def move(self, seconds: float) -> None: ...


def submit(service: Service, name: str) -> Job:
    spec = TrainingSpec(name=name, dataset="reviews")
    return service.submit(spec, "ann", idempotency_key=name)


def end(service: Service, how: JobState, name: str, steps: int = 2) -> Job:
    """A job that ended so, after some steps."""
    job = submit(service, name)
    claim = service.leases.claim(job.id, "worker")
    assert claim is not None
    for step in range(1, steps + 1):
        service.leases.progress(claim, step, {"loss": 1.0})
    if how is JobState.CANCELLED:
        service.cancel(job.id, "ann")
    if how is JobState.SUCCEEDED:
        made = Prompt(
            id=f"pr-{name}", name=name, owner="ann", model="tiny", model_fingerprint="f",
            length=1, d_model=1, job=job.id, created=utc_now(),
        )  # fmt: skip
        return service.leases.succeed(claim, made, {})
    return service.leases.fail(claim, "the end", retry=False)


def kept(service: Service) -> set[str]:
    return {job.id for job in service.list(None)}


def count(service: Service, table: type) -> int:
    with service.database.reading() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def test_what_ended_long_ago_goes_and_all_else_stays(service: Service, clock: Movable) -> None:
    ended = [end(service, how, how.value) for how in JobState if how.final]
    assert [job.state.final for job in ended] == [True] * 3
    waits, runs = submit(service, "waits"), submit(service, "runs")
    held = service.leases.claim(runs.id, "worker")
    assert held is not None
    clock.move(89 * DAY)
    later = end(service, JobState.SUCCEEDED, "later")
    assert forget_jobs(service) == 0
    clock.move(2 * DAY)
    assert forget_jobs(service) == 3
    assert kept(service) == {waits.id, runs.id, later.id}
    with pytest.raises(NotFound):
        service.get(ended[0].id, "ann")
    for table in (EventRow, IdempotencyRow, JobSourceRow):
        with service.database.reading() as session:
            assert set(session.scalars(select(table.job))) == kept(service)
    made = service.prompts.get("succeeded", "ann")  # what it made stays, and says by what
    assert made.job in {job.id for job in ended}
    service.leases.progress(held, 1, {})  # who runs has noticed nothing
    assert forget_jobs(service) == 0


def test_nothing_goes_where_all_is_to_be_kept(service: Service, clock: Movable) -> None:
    end(service, JobState.FAILED, "old")
    service.settings = service.settings.model_copy(update={"keep_jobs_days": 0.0})
    clock.move(10_000 * DAY)
    assert forget_jobs(service) == 0
    assert len(kept(service)) == 1


def test_no_transaction_is_large_and_the_next_pass_goes_on_after_a_death(
    service: Service, clock: Movable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_EVENTS_AT_ONCE", 6)
    for number, steps in enumerate((1, 1, 20)):
        end(service, JobState.FAILED, f"old-{number}", steps)
    total = count(service, EventRow)
    clock.move(91 * DAY)
    sizes: list[int] = []
    real, lives = service.database.session, 2

    @contextlib.contextmanager
    def watched() -> Iterator[Session]:
        if len(sizes) == lives:
            raise RuntimeError("killed")
        before = count(service, EventRow)
        with real() as session:
            yield session
        sizes.append(before - count(service, EventRow))

    monkeypatch.setattr(service.database, "session", watched)
    with pytest.raises(RuntimeError):
        forget_jobs(service)
    assert 0 < count(service, EventRow) < total
    lives = 100
    forget_jobs(service)
    assert count(service, JobRow) == count(service, EventRow) == 0
    assert sum(sizes) == total
    assert max(sizes) <= 6


def test_several_workers_forget_at_once(service: Service, clock: Movable) -> None:
    for number in range(12):
        end(service, JobState.FAILED, f"old-{number}", steps=1)
    clock.move(91 * DAY)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: forget_jobs(service), range(4)))
    assert sum(found) == 12
    assert kept(service) == set()


def test_a_pass_ends_and_the_next_goes_on_with_the_oldest(service: Service, clock: Movable) -> None:
    jobs = []
    for number in range(5):
        jobs.append(end(service, JobState.FAILED, f"old-{number}", steps=1))
        clock.move(60)
    clock.move(91 * DAY)
    assert forget_jobs(service, most=2) == 2
    assert kept(service) == {job.id for job in jobs[2:]}
    assert forget_jobs(service) == 3
