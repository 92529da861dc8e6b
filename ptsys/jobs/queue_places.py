"""Where waiting jobs stand in their queues, and how long they may wait."""

from __future__ import annotations

import collections
import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sqlalchemy import select

from ptsys.jobs.records import job_value
from ptsys.jobs.service import Service
from ptsys.jobs.wait_estimate import Running, wait_seconds
from ptsys.store.tables import JobRow
from ptsys.types.records import Job, JobState, QueuePlace

if TYPE_CHECKING:
    from ptsys.jobs.presence import Presence

_MOST_PLAYED = 200  # waiting jobs; those behind them are told no time


def places_of(present: Sequence[Presence]) -> dict[str, int]:
    """The places that workers offer, by model."""
    found: collections.Counter[str] = collections.Counter()
    for worker in present:
        if worker.model is not None and worker.ready:
            found[worker.model] += worker.capacity
    return dict(found)


def with_places(service: Service, jobs: Sequence[Job], places: Mapping[str, int]) -> list[Job]:
    """The jobs; those that wait with their place in the queue of their model."""
    return Queues(service, keep=0.0).told(jobs, places)


class Queues:
    """The queues of a deployment, for a process that is asked about them again and again.

    A queue is as long as it is, so it is read at most once in a while: the longer that took, the
    longer the while.
    """

    def __init__(self, service: Service, *, keep: float = 10.0) -> None:
        """What was read is told for `keep` times as long as the reading took."""
        self._service = service
        self._keep = keep
        self._known: dict[tuple[str, int], tuple[float, dict[str, QueuePlace]]] = {}
        self._planned: dict[str, dict[str, int]] = {}
        self._lock = threading.Lock()

    def told(self, jobs: Sequence[Job], places: Mapping[str, int]) -> list[Job]:
        """As `with_places`. A job that came since the queue was read has it read again."""
        waiting = [job for job in jobs if job.state is JobState.QUEUED]
        queues: dict[str, dict[str, QueuePlace]] = {}
        for model in {job.spec.model for job in waiting}:
            ids = {job.id for job in waiting if job.spec.model == model}
            queues[model] = self._queue(model, places.get(model, 0), ids)
        return [
            job.model_copy(update={"queue": queues[job.spec.model].get(job.id)})
            if job.state is JobState.QUEUED
            else job
            for job in jobs
        ]

    def _queue(self, model: str, places: int, ids: set[str]) -> dict[str, QueuePlace]:
        with self._lock:
            until, found = self._known.get((model, places), (0.0, {}))
            begun = time.monotonic()
            if begun < until and ids <= found.keys():
                return found
            self._known = {key: kept for key, kept in self._known.items() if kept[0] > begun}
            planned = self._planned.setdefault(model, {})
            found = _queue(self._service, model, places, planned)
            now = time.monotonic()
            self._known[model, places] = (now + self._keep * (now - begun), found)
            return found


def _queue(
    service: Service, model: str, places: int, planned: dict[str, int]
) -> dict[str, QueuePlace]:
    """`planned` are the updates in all of jobs that ran when last looked, and then of those that
    run now."""
    now = service.clock()
    query = select(JobRow).where(JobRow.state == JobState.RUNNING, JobRow.model == model)
    with service.database.reading() as session:
        waiting = session.execute(service.leases.turns.order([model])).all()
        rows = list(session.scalars(query))
    known = {
        row.id: job_value(row).planned_steps
        if row.id not in planned or "steps" in row.metrics  # its worker knows better by now
        else planned[row.id]
        for row in rows
    }
    planned.clear()
    planned.update(known)
    running = [_running(row, known[row.id], now.timestamp()) for row in rows]
    played = wait_seconds(
        running,
        [row.owner for row in waiting[:_MOST_PLAYED]],
        places,
        service.settings.turn_seconds,
    )
    found = {}
    for number, row in enumerate(waiting):
        seconds = played[number] if places and number < len(played) else None
        found[row.id] = QueuePlace(
            position=number + 1,
            waiting=len(waiting),
            seconds=None if seconds is None else round(seconds, 1),
            basis=_basis(model, places, len(running), seconds),
        )
    return found


def _running(row: JobRow, planned: int, now: float) -> Running:
    """How far it is, and when it will have ended if it goes on as since it got its place."""
    held = now - row.claimed.timestamp() if row.claimed is not None else 0.0
    made = row.step - (row.claimed_step or 0)
    left = None
    if made > 0 and held > 0:
        left = max(planned - row.step, 0) * held / made
    return Running(row.owner, held, left)


def _basis(model: str, places: int, running: int, seconds: float | None) -> str:
    if not places:
        return f"no worker serves model {model!r} now"
    of = f"{running} running on {places} places"
    if seconds is None:
        return f"{of}, not timed yet"
    return f"{of}, at the pace they had so far, and turns between users"
