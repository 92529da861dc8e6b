"""What each user may store: counted, and refused when it is too much."""

from __future__ import annotations

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from ptsys.errors import StorageUsedUp, TooLarge
from ptsys.store.tables import DatasetRow, JobRow, PromptRow
from ptsys.types.storage import Quota, Usage

_NUMBER = 4  # bytes of a float32


def used_by(session: Session, user: str) -> Usage:
    """What the user stores, as far as sizes are known, and what their jobs will."""
    rows = func.coalesce(DatasetRow.bytes, 0)
    numbers = func.coalesce(PromptRow.bytes, PromptRow.length * PromptRow.d_model * _NUMBER)
    unfinished = JobRow.active_name.is_not(None)
    counts = (
        select(func.sum(rows), func.count()).where(DatasetRow.owner == user),
        select(func.sum(numbers), func.count()).where(PromptRow.owner == user),
        select(func.sum(JobRow.promised_bytes), func.sum(JobRow.promised_objects)).where(
            JobRow.owner == user, unfinished
        ),
    )
    found = [session.execute(query).one() for query in counts]
    return Usage(
        bytes=sum(int(row[0] or 0) for row in found),
        objects=sum(int(row[1] or 0) for row in found),
    )


def refuse_more(session: Session, user: str, quota: Quota, more: Usage) -> None:
    """Raise TooLarge for what would never fit into the quota, StorageUsedUp for what does not fit
    beside what the user stores. Until the transaction ends, no other one of the user gets here."""
    if more.bytes > quota.bytes:
        raise TooLarge(
            f"this takes {more.bytes} bytes, more than the {quota.bytes} that you may store in "
            "all; send less"
        )
    lock_user(session, user)
    used = used_by(session, user)
    if used.objects + more.objects > quota.objects:
        raise StorageUsedUp(
            f"you store {used.objects} datasets and prompts, those that your jobs will make "
            f"included, and may store {quota.objects}: {more.objects} more do not fit; delete some"
        )
    if used.bytes + more.bytes > quota.bytes:
        raise StorageUsedUp(
            f"you store {used.bytes} bytes and may store {quota.bytes}: {more.bytes} more do not "
            "fit; delete datasets or prompts"
        )


def lock_user(session: Session, user: str) -> None:
    """Let one transaction of a user at a time count and add. SQLite has one writer anyhow."""
    if session.get_bind().dialect.name == "postgresql":
        lock = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")
        session.execute(lock, {"name": f"ptsys.user.{user}"})
