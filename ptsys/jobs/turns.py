"""Whose turn it is: the order in which waiting jobs get places, and who gives one back for them.

Places are shared by users, not by jobs. A waiting job of a user with fewer running ones goes first;
if no place is free, a user who has at least two more gives one back at once, and one who has more
at all does so after a turn of `turn_seconds`. So of two users each soon has half of the places
however many jobs one of them sent, and of more users than places each has its turn.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, case, func, or_, select, update

from ptsys.config import Settings
from ptsys.store.clock import Clock, utc_now
from ptsys.store.database import Database, changed
from ptsys.store.tables import JobRow
from ptsys.types.records import JobState

_MOST_AHEAD = 100  # who waits and is looked at for one who makes room
_LONG_AGO = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_RUNS = JobRow.state == JobState.RUNNING
_WAITS = and_(JobRow.state == JobState.QUEUED, JobRow.cancel_requested.is_(False))


class _Next(NamedTuple):
    owner: str
    level: int


class Turns:
    """The turns of users at the places of a deployment's workers."""

    def __init__(self, database: Database, settings: Settings, clock: Clock = utc_now) -> None:
        self._database = database
        self._turn = datetime.timedelta(seconds=settings.turn_seconds)
        self._clock = clock

    def claimable(self, empty: bool) -> ColumnElement[bool]:
        """Jobs that a worker may take now. One that is to run alone waits for an `empty` worker,
        but no longer than a turn: then whoever takes it sends the others away."""
        if empty:
            return _WAITS
        long_enough = JobRow.waiting <= self._clock() - self._turn
        return and_(_WAITS, or_(JobRow.solitude == 0, long_enough))

    def order(self, models: Sequence[str], which: ColumnElement[bool] = _WAITS) -> Any:
        """A query of `id`, `owner` and `level` of the waiting jobs of these models, in the order in
        which they would get places. The level is how many jobs their owner runs by then."""
        unfinished = or_(_RUNS, JobRow.state == JobState.QUEUED)
        stays = and_(_RUNS, JobRow.yielding.is_(False))
        users = (
            select(
                JobRow.owner,
                func.sum(case((stays, 1), else_=0)).label("running"),
                func.max(JobRow.claimed).label("served"),
            )
            .where(unfinished, JobRow.model.in_(models))
            .group_by(JobRow.owner)
            .subquery()
        )
        own = func.row_number().over(
            partition_by=JobRow.owner, order_by=(JobRow.waiting, JobRow.id)
        )
        level = (func.coalesce(users.c.running, 0) + own - 1).label("level")
        served = func.coalesce(users.c.served, _LONG_AGO)
        return (
            select(JobRow.id, JobRow.owner, level)
            .outerjoin(users, users.c.owner == JobRow.owner)
            .where(JobRow.model.in_(models), which)
            .order_by(level, served, JobRow.waiting, JobRow.id)
        )

    def make_room(self, worker: str, models: Sequence[str]) -> list[str]:
        """The ids of jobs of this worker that are to give their places back, for jobs that wait
        for one; each is told once. Call it when no place is free."""
        found: list[str] = []
        with self._database.reading() as session:
            yielding = session.scalar(
                select(func.count()).where(_RUNS, JobRow.model.in_(models), JobRow.yielding)
            )
            waiting_here = self.order(models, self.claimable(empty=False))
            waiting_here = waiting_here.offset(yielding or 0).limit(_MOST_AHEAD)
            ahead = [_Next(row.owner, row.level) for row in session.execute(waiting_here)]
        for waiting in ahead:
            job = self._mark(worker, models, waiting)
            if job is None:
                break
            found.append(job)
        return found

    def _mark(self, worker: str, models: Sequence[str], waiting: _Next) -> str | None:
        """Choose who makes room for that one, the latest that came of those with most places."""
        with self._database.session() as session:
            stays = and_(_RUNS, JobRow.model.in_(models), JobRow.yielding.is_(False))
            counts: dict[str, int] = {
                row[0]: row[1]
                for row in session.execute(
                    select(JobRow.owner, func.count()).where(stays).group_by(JobRow.owner)
                )
            }
            here = session.execute(
                select(JobRow.id, JobRow.owner, _turn_over(self._clock() - self._turn))
                .where(stays, JobRow.worker == worker, JobRow.cancel_requested.is_(False))
                .order_by(JobRow.claimed.desc(), JobRow.id.desc())
            ).all()
            ready = [
                row
                for row in here
                if row.owner != waiting.owner
                and may_take(waiting.level, counts[row.owner], turn_over=row.turn_over)
            ]
            if not ready:
                return None
            chosen = max(ready, key=lambda row: counts[row.owner])  # the first of equal ones
            changed(session, update(JobRow).where(JobRow.id == chosen.id).values(yielding=True))
            return str(chosen.id)


def _turn_over(since: datetime.datetime) -> Any:
    """A place that was taken before, by a job that has come further: one that still prepares or
    compiles would otherwise do so again and again."""
    further = JobRow.step > func.coalesce(JobRow.claimed_step, 0)
    return and_(JobRow.claimed <= since, further).label("turn_over")


def may_take(level: int, running: int, *, turn_over: bool) -> bool:
    """Whether a user who runs `level` jobs may have a place of one who runs `running`."""
    return running > level + (0 if turn_over else 1)
