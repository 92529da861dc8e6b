"""Ending unfinished jobs that somebody else than their owner has a right to end.

Here they are only marked, in the transaction that takes away what they need: workers stop those
that run, and `ptsys.jobs` brings those that wait to their end.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, func, select, update
from sqlalchemy.orm import Session

from ptsys.errors import Conflict
from ptsys.store.database import changed
from ptsys.store.tables import JobRow, JobSourceRow, OwnedRow, ShareRow
from ptsys.types.records import JobState

UNFINISHED = (JobState.QUEUED, JobState.RUNNING)


def end_others_uses(session: Session, row: OwnedRow, reason: str) -> None:
    """Ask for the end of other users' jobs that need this dataset or prompt of its owner.

    Raises Conflict if a job of the owner needs it, who may cancel that one.
    """
    uses = JobRow.id.in_(select(JobSourceRow.job).where(JobSourceRow.source == row.id))
    unfinished = JobRow.active_name.is_not(None)
    own = select(JobRow.id).where(uses, unfinished, JobRow.owner == row.owner).limit(1)
    job = session.scalar(own)
    if job is not None:
        raise Conflict(
            f"job {job} still uses {_kind(row)} {row.name!r}; wait for it or cancel it "
            f"(`ptsys jobs cancel {job}`)"
        )
    end_jobs(session, and_(uses, JobRow.owner != row.owner), _told(row, reason))


def end_unseen_uses(session: Session, row: OwnedRow) -> None:
    """Ask for the end of jobs that need this dataset or prompt and whose owners may no longer see
    it."""
    if row.visibility == "public":
        return
    seen = select(ShareRow.user).where(ShareRow.resource == row.id)
    uses = JobRow.id.in_(select(JobSourceRow.job).where(JobSourceRow.source == row.id))
    which = and_(uses, JobRow.owner != row.owner, JobRow.owner.not_in(seen))
    end_jobs(session, which, _told(row, "is no longer shared with you"))


def _kind(row: OwnedRow) -> str:
    return str(row.__tablename__).removesuffix("s")


def _told(row: OwnedRow, reason: str) -> str:
    return f"{_kind(row)} {row.owner}/{row.name}, which it needs, {reason}"


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
