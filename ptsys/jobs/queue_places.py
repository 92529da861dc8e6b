"""Where waiting jobs stand in their queues, and how long they may wait."""

from __future__ import annotations

import collections
from collections.abc import Mapping, Sequence

from sqlalchemy import select

from ptsys.config import Settings
from ptsys.errors import Unavailable
from ptsys.jobs.presence import Presence, workers
from ptsys.jobs.records import job_value
from ptsys.jobs.redis_server import locate
from ptsys.jobs.service import Service
from ptsys.jobs.wait_estimate import Running, wait_seconds
from ptsys.store.tables import JobRow
from ptsys.types.records import Job, JobState, QueuePlace

_MOST_PLAYED = 200  # waiting jobs; those behind them are told no time


def places_of(present: Sequence[Presence]) -> dict[str, int]:
    """The places that workers offer, by model."""
    found: collections.Counter[str] = collections.Counter()
    for worker in present:
        if worker.model is not None and worker.ready:
            found[worker.model] += worker.capacity
    return dict(found)


def present_places(settings: Settings) -> dict[str, int]:
    """The places of the workers that are there now; none if Redis does not answer."""
    try:
        return places_of(workers(locate(settings)))
    except Unavailable:
        return {}


def with_places(service: Service, jobs: Sequence[Job], places: Mapping[str, int]) -> list[Job]:
    """The jobs; those that wait with their place in the queue of their model."""
    models = {job.spec.model for job in jobs if job.state is JobState.QUEUED}
    queues = {model: _queue(service, model, places.get(model, 0)) for model in models}
    return [
        job.model_copy(update={"queue": queues.get(job.spec.model, {}).get(job.id)})
        if job.state is JobState.QUEUED
        else job
        for job in jobs
    ]


def _queue(service: Service, model: str, places: int) -> dict[str, QueuePlace]:
    now = service.clock()
    query = select(JobRow).where(JobRow.state == JobState.RUNNING, JobRow.model == model)
    with service.database.reading() as session:
        waiting = session.execute(service.leases.turns.order([model])).all()
        rows = list(session.scalars(query))
    running = [_running(row, now.timestamp()) for row in rows]
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


def _running(row: JobRow, now: float) -> Running:
    """How far it is, and when it will have ended if it goes on as since it got its place."""
    job = job_value(row)
    held = now - row.claimed.timestamp() if row.claimed is not None else 0.0
    made = job.step - (row.claimed_step or 0)
    left = None
    if made > 0 and held > 0:
        left = max(job.planned_steps - job.step, 0) * held / made
    return Running(job.owner, held, left)


def _basis(model: str, places: int, running: int, seconds: float | None) -> str:
    if not places:
        return f"no worker serves model {model!r} now"
    of = f"{running} running on {places} places"
    if seconds is None:
        return f"{of}, not timed yet"
    return f"{of}, at the pace they had so far, and turns between users"
