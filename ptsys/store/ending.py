"""Ending unfinished jobs that somebody else than their owner has a right to end.

Here they are only marked, in the transaction that takes away what they need: workers stop those
that run, and `ptsys.jobs` brings those that wait to their end.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, func, update
from sqlalchemy.orm import Session

from ptsys.store.database import changed
from ptsys.store.tables import JobRow
from ptsys.types.records import JobState

UNFINISHED = (JobState.QUEUED, JobState.RUNNING)


def end_jobs(session: Session, which: ColumnElement[bool], reason: str | None) -> int:
    """Ask for the end of these jobs, unless they have ended; the first reason stays. Says how many
    there are."""
    error = func.coalesce(JobRow.error, reason)
    return changed(
        session,
        update(JobRow)
        .where(which, JobRow.state.in_(UNFINISHED))
        .values(cancel_requested=True, error=error),
    )
