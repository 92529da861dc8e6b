"""Leases: which worker owns which job, and what only the owner may write."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from sqlalchemy import and_, func, select, tuple_, update
from sqlalchemy.orm import Session

from ptsys.config import Settings
from ptsys.errors import LeaseLost
from ptsys.jobs.records import bounded_traceback, job_value, one_line, record_event
from ptsys.jobs.turns import Turns
from ptsys.store.clock import Clock, utc_now
from ptsys.store.database import Database, changed
from ptsys.store.identifiers import new_id
from ptsys.store.prompts import insert_prompt
from ptsys.store.tables import EventRow, JobRow
from ptsys.types.records import Job, JobState, Prompt

_CANDIDATES = 16
_FAILURES_IN_COMPANY = 2  # after each so many a job runs alone for a while
_LONGEST_SOLITUDE = 8  # checkpoints
EventKind = Literal["evaluation", "log"]


@dataclasses.dataclass(frozen=True, slots=True)
class Claim:
    """One worker's hold on one job. `fence` grows with every claim, so an old hold is known.

    A job whose attempts failed again and again is to run `alone` for some checkpoints: so it takes
    nobody with it if it is to blame, and is not blamed for its company if it is not.
    """

    job: Job
    worker: str
    fence: int
    alone: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Beats:
    """What heartbeats told: ids of the jobs still held, those lost, and those to be cancelled
    (which are still held)."""

    held: frozenset[str]
    lost: frozenset[str]
    cancel: frozenset[str]


def new_worker_id() -> str:
    """An id for one life of one worker; a worker that starts again is another one."""
    return new_id("worker")


class Leases:
    """Claims on jobs. Every write names its claim and raises LeaseLost unless it still holds.

    Each method is one transaction, and every decision in it is one UPDATE with a condition, so
    that of any number of workers one wins. Moments are compared between machines: keep their
    clocks within a second or two (NTP).
    """

    def __init__(self, database: Database, settings: Settings, clock: Clock = utc_now) -> None:
        """Lend jobs of this database for `settings.lease_seconds` at a time."""
        self._database = database
        self._term = datetime.timedelta(seconds=settings.lease_seconds)
        self._max_attempts = settings.max_attempts
        self.turns = Turns(database, settings, clock)
        self._clock = clock

    def claim(self, job: str, worker: str, *, empty: bool = True) -> Claim | None:
        """Take this job if it waits; None if it does not, or is to run alone and the worker is not
        `empty`. What a silent worker held waits again once the reconciler has seen to it."""
        now = self._clock()
        with self._database.session() as session:
            return self._take(session, job, worker, now, empty)

    def claim_next(self, worker: str, models: Iterable[str], *, empty: bool = True) -> Claim | None:
        """Take the waiting job for one of these models whose turn it is; one that is to run alone
        before its patience ends only if the worker is `empty`. None if none waits."""
        now = self._clock()
        which = self.turns.claimable(empty)
        candidates = self.turns.order(list(models), which).limit(_CANDIDATES)
        with self._database.reading() as session:
            jobs = list(session.scalars(candidates))
        for job in jobs:
            with self._database.session() as session:
                claim = self._take(session, job, worker, now, empty)
            if claim is not None:
                return claim
        return None

    def heartbeat(self, claim: Claim) -> bool:
        """Hold the job for another term; True if its owner asked to cancel it.

        Raises LeaseLost if another worker took it, or it ended.
        """
        beats = self.heartbeat_all([claim])
        if claim.job.id in beats.lost:
            raise _lost(claim)
        return claim.job.id in beats.cancel

    def heartbeat_all(self, claims: Iterable[Claim]) -> Beats:
        """Hold all these jobs for another term, in one statement; says which were lost."""
        claims = list(claims)
        if not claims:
            return Beats(frozenset(), frozenset(), frozenset())
        holds = [(claim.job.id, claim.worker, claim.fence) for claim in claims]
        held = and_(
            JobRow.state == JobState.RUNNING,
            tuple_(JobRow.id, JobRow.worker, JobRow.fence).in_(holds),
        )
        with self._database.session() as session:
            changed(
                session,
                update(JobRow).where(held).values(lease_expires=self._clock() + self._term),
            )
            rows = session.execute(select(JobRow.id, JobRow.cancel_requested).where(held)).all()
        alive = frozenset(row.id for row in rows)
        return Beats(
            held=alive,
            lost=frozenset(claim.job.id for claim in claims) - alive,
            cancel=frozenset(row.id for row in rows if row.cancel_requested),
        )

    def progress(self, claim: Claim, step: int, metrics: Mapping[str, float]) -> None:
        """Record the step reached and its metrics, with a `progress` event. Raises LeaseLost."""
        now = self._clock()
        with self._database.session() as session:
            row = self._write(session, claim, step=step, metrics=dict(metrics))
            _tell(session, row, "progress", {"step": step, **metrics}, now)

    def checkpoint(self, claim: Claim, step: int) -> bool:
        """Record that the state after `step` updates is stored, with a `checkpoint` event; True if
        the job is still to run alone.

        Past the furthest one before, it is progress: attempts count from 0 again. Raises LeaseLost.
        """
        now = self._clock()
        with self._database.session() as session:
            row = self._write(session, claim, fence=claim.fence)
            if step > row.saved:
                row.saved, row.attempts = step, 0
                row.solitude = max(row.solitude - 1, 0)
            _tell(session, row, "checkpoint", {"step": step}, now)
            return row.solitude > 0

    def event(self, claim: Claim, kind: EventKind, data: Mapping[str, Any]) -> None:
        """Record an event. Raises LeaseLost."""
        now = self._clock()
        with self._database.session() as session:
            row = self._write(session, claim, fence=claim.fence)
            _tell(session, row, kind, dict(data), now)

    def release(self, claim: Claim, reason: str) -> Job:
        """Give the job back to wait for another worker, keeping its step; counts no attempt.

        A job whose owner asked to cancel it is cancelled instead. Raises LeaseLost.
        """
        now = self._clock()
        with self._database.session() as session:
            row = self._write(session, claim, fence=claim.fence)
            self._requeue(session, row, reason, now)
            return job_value(row)

    def succeed(
        self,
        claim: Claim,
        prompt: Prompt,
        metrics: Mapping[str, float],
        linked: Sequence[Prompt] = (),
        step: int | None = None,
    ) -> Job:
        """End the job and record its prompt, and those `linked` with it, in one transaction; all
        tensors are written. `step` is the job's last, if not the prompt's. A job that somebody
        asked to end is cancelled instead, however near its end it was, and leaves no prompt.

        Raises LeaseLost, then nothing is recorded and the tensors may be removed; Conflict if the
        owner meanwhile made another prompt of one of the names, then nothing is recorded either.
        """
        now = self._clock()
        with self._database.session() as session:
            last = prompt.steps if step is None else step
            row = self._write(session, claim, metrics=dict(metrics), step=last)
            if row.cancel_requested:
                finish(session, row, JobState.CANCELLED, now)
                return job_value(row)
            for one in (prompt, *linked):
                insert_prompt(session, one)
            row.prompt = prompt.id
            finish(session, row, JobState.SUCCEEDED, now, prompt=prompt.id)
            return job_value(row)

    def complete(self, claim: Claim, metrics: Mapping[str, float], step: int) -> Job:
        """End a job that made all its prompts on its way: none is recorded with its end. One that
        somebody asked to end is cancelled instead. Raises LeaseLost."""
        now = self._clock()
        with self._database.session() as session:
            row = self._write(session, claim, metrics=dict(metrics), step=step)
            state = JobState.CANCELLED if row.cancel_requested else JobState.SUCCEEDED
            finish(session, row, state, now)
            return job_value(row)

    def fail(self, claim: Claim, error: str, traceback: str | None = None, *, retry: bool) -> Job:
        """End an attempt. With `retry` (the service's fault) the job waits for another one until
        `max_attempts` failed since its last checkpoint; without (the user's fault) it fails at
        once, one that somebody asked to end is cancelled. Raises LeaseLost."""
        now = self._clock()
        with self._database.session() as session:
            row = self._write(session, claim, fence=claim.fence)
            if row.cancel_requested:
                finish(session, row, JobState.CANCELLED, now)
            elif charge(row, self._max_attempts) and retry:
                self._requeue(session, row, error, now)
            else:
                row.error, row.traceback = one_line(error), bounded_traceback(traceback)
                finish(session, row, JobState.FAILED, now, error=row.error)
            return job_value(row)

    def cancelled(self, claim: Claim) -> Job:
        """End the job as its owner asked. Raises LeaseLost."""
        now = self._clock()
        with self._database.session() as session:
            row = self._write(session, claim, cancel_requested=True)
            finish(session, row, JobState.CANCELLED, now)
            return job_value(row)

    def _take(
        self, session: Session, job: str, worker: str, now: datetime.datetime, empty: bool
    ) -> Claim | None:
        taken = changed(
            session,
            update(JobRow)
            .where(JobRow.id == job, self.turns.claimable(empty))
            .values(
                state=JobState.RUNNING.value,
                worker=worker,
                fence=JobRow.fence + 1,
                lease_expires=now + self._term,
                claimed=now,
                claimed_step=JobRow.step,
                yielding=False,
                started=func.coalesce(JobRow.started, now),
            ),
        )
        if taken != 1:
            return None
        row = session.get_one(JobRow, job)
        record_event(
            session, row, "state", {"state": JobState.RUNNING.value, "worker": worker}, now
        )
        return Claim(job_value(row), worker, row.fence, alone=row.solitude > 0)

    def _requeue(self, session: Session, row: JobRow, reason: str, now: datetime.datetime) -> None:
        if row.cancel_requested:
            finish(session, row, JobState.CANCELLED, now)
        else:
            requeue(session, row, one_line(reason), now)

    def _write(self, session: Session, claim: Claim, **values: Any) -> JobRow:
        """Change the claimed job's row, which locks it, and load it. Raises LeaseLost."""
        written = changed(
            session,
            update(JobRow)
            .where(
                JobRow.id == claim.job.id,
                JobRow.state == JobState.RUNNING,
                JobRow.worker == claim.worker,
                JobRow.fence == claim.fence,
            )
            .values(**values),
        )
        if written != 1:
            raise _lost(claim)
        return session.get_one(JobRow, claim.job.id)


def _tell(
    session: Session, row: JobRow, kind: str, data: dict[str, Any], now: datetime.datetime
) -> None:
    """Record an event of a locked job, unless it is the same as the last of its kind in this hold:
    then it was recorded before, and only the answer was lost."""
    kinds = EventRow.kind.in_((kind, "state"))
    query = select(EventRow).where(EventRow.job == row.id, kinds)
    last = session.scalar(query.order_by(EventRow.sequence.desc()).limit(1))
    if last is None or last.kind != kind or last.data != data:
        record_event(session, row, kind, data, now)


def charge(row: JobRow, most: int) -> bool:
    """Count a failed attempt of a locked job; True if it may be tried again, which it may unless
    `most` failed since its last checkpoint.

    After every second failure, before its last attempt, and if it was alone when it failed, it
    is to run alone next: for the more checkpoints the more often it failed.
    """
    row.failures += 1
    row.attempts += 1
    repeated = row.failures % _FAILURES_IN_COMPANY == 0 or row.attempts == most - 1
    if repeated or row.solitude > 0:
        row.solitude = min(row.failures, _LONGEST_SOLITUDE)
    return row.attempts < most


def requeue(session: Session, row: JobRow, reason: str, now: datetime.datetime) -> None:
    """Let a locked job wait for a worker again; the reconciler announces it."""
    row.state = JobState.QUEUED.value
    row.worker = None
    row.lease_expires = None
    row.sent = None
    row.waiting = now
    row.yielding = False
    data = {"state": JobState.QUEUED.value, "reason": reason, "attempts": row.attempts}
    record_event(session, row, "state", data, now)


def finish(
    session: Session, row: JobRow, state: JobState, now: datetime.datetime, **data: Any
) -> None:
    """Bring a locked job to a final state; its name is free again."""
    row.state = state.value
    row.active_name = None
    row.yielding = False
    row.worker = None
    row.lease_expires = None
    row.finished = now
    if state is JobState.CANCELLED and row.error is not None:
        data["error"] = row.error
    record_event(session, row, "state", {"state": state.value, **data}, now)


def _lost(claim: Claim) -> LeaseLost:
    return LeaseLost(
        f"worker {claim.worker} no longer holds job {claim.job.id} (its hold number {claim.fence})"
    )
