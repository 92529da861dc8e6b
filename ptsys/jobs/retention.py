"""Forgetting: jobs that ended long ago go, with their events; what they made stays."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Iterator, Sequence

from sqlalchemy import ColumnElement, Row, and_, delete, select

from ptsys.jobs.service import Service
from ptsys.store.database import changed
from ptsys.store.tables import EventRow, JobRow
from ptsys.types.records import JobState

_log = logging.getLogger(__name__)

_EVENTS_AT_ONCE = 1000  # in one transaction: nobody waits long behind it
_JOBS_AT_ONCE = 500
_MOST = 20_000  # in one pass; the rest goes in the next
_FINAL = [state.value for state in JobState if state.final]

_Old = Row[str, int]
"""A job's id, and how many events it has at most."""


def forget_jobs(service: Service, most: int = _MOST) -> int:
    """Delete jobs that ended more than `keep_jobs_days` ago, oldest first, with their events; says
    how many. 0 days keep all. Prompts and datasets stay.

    In small transactions, which may be repeated, end anywhere, and run in several workers at once.
    Of a job with very many events the first ones go before the job does. Raises Unavailable.
    """
    days = service.settings.keep_jobs_days
    if not days:
        return 0
    old = _ended_before(service.clock() - datetime.timedelta(days=days))
    query = select(JobRow.id, JobRow.sequence).where(old).order_by(JobRow.finished, JobRow.id)
    forgotten = 0
    while forgotten < most:
        with service.database.reading() as session:
            found = session.execute(query.limit(min(_JOBS_AT_ONCE, most - forgotten))).all()
        if not found:
            break
        for portion in _portions(found):
            _shorten(service, portion)
            with service.database.session() as session:
                jobs = JobRow.id.in_([row.id for row in portion])
                forgotten += changed(session, delete(JobRow).where(jobs, old))
    if forgotten:
        _log.info("forgot %d jobs that ended more than %g days ago", forgotten, days)
    return forgotten


def _ended_before(moment: datetime.datetime) -> ColumnElement[bool]:
    return and_(JobRow.finished < moment, JobRow.state.in_(_FINAL), JobRow.active_name.is_(None))


def _portions(jobs: Sequence[_Old]) -> Iterator[list[_Old]]:
    """As many jobs at a time as have few enough events together."""
    portion: list[_Old] = []
    events = 0
    for job in jobs:
        if portion and events + job.sequence > _EVENTS_AT_ONCE:
            yield portion
            portion, events = [], 0
        portion.append(job)
        events += job.sequence
    if portion:
        yield portion


def _shorten(service: Service, portion: Sequence[_Old]) -> None:
    """Take away the first events of a job that has too many for one transaction."""
    for job in portion:
        for last in range(_EVENTS_AT_ONCE, job.sequence, _EVENTS_AT_ONCE):
            first = and_(EventRow.job == job.id, EventRow.sequence <= last)
            with service.database.session() as session:
                changed(session, delete(EventRow).where(first))
