"""What waits and what runs, counted for those who keep the service."""

from __future__ import annotations

import dataclasses
import datetime

from sqlalchemy import func, select

from ptsys.store.database import Database
from ptsys.store.tables import JobRow
from ptsys.types.records import JobState


@dataclasses.dataclass(frozen=True)
class Backlog:
    """Jobs by (state, model), and since when the longest-waiting queued one of a model waits."""

    jobs: dict[tuple[str, str], int]
    oldest: dict[str, datetime.datetime]


def backlog(database: Database) -> Backlog:
    """The present backlog. Raises Unavailable."""
    states = select(JobRow.state, JobRow.model, func.count(), func.min(JobRow.created)).group_by(
        JobRow.state, JobRow.model
    )
    with database.reading() as session:
        rows = session.execute(states).all()
    return Backlog(
        {(state, model): count for state, model, count, _ in rows},
        {model: since for state, model, _, since in rows if state == JobState.QUEUED.value},
    )
