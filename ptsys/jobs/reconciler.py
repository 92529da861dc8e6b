"""The reconciler: brings queue and leases back in line with the records."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import logging
import math
import threading

from sqlalchemy import ColumnElement, and_, func, or_, select, update

from ptsys.errors import PtsysError, Unavailable
from ptsys.jobs.leases import charge, finish, requeue
from ptsys.jobs.service import Service
from ptsys.store.database import changed
from ptsys.store.tables import JobRow
from ptsys.types.records import JobState

_log = logging.getLogger(__name__)
_KEYS_KEPT = datetime.timedelta(days=7)
_MOST_SENT = 32  # messages that lie in a model's queue because of this
_FUTURE_TERMS = 20  # a lease that ends later than so many terms from now is of another clock


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """What one pass did: ids of jobs sent again, taken from silent workers, failed, cancelled.

    `unreachable` is why messages could not be sent, if so.
    """

    sent: tuple[str, ...] = ()
    requeued: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    cancelled: tuple[str, ...] = ()
    unreachable: str | None = None


class Reconciler:
    """Passes again and again, by one process that knows when it looked last.

    Whoever was suspended, or could not reach the database, learns nothing of others from leases
    that ended meanwhile: their holders may have been suspended with it. After such a pause it takes
    a job back only when it saw in several looks that nobody renews its lease. A clock that was set
    anew looks the same.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        term, pause = service.settings.lease_seconds, service.settings.reconcile_seconds
        self._term = datetime.timedelta(seconds=term)
        self._longest = datetime.timedelta(seconds=pause + term / 2)
        self._looks = 1 + math.ceil(term / pause)
        self._last: datetime.datetime | None = None
        self._doubting_until: datetime.datetime | None = None
        self._doubted: dict[tuple[str, int], int] = {}  # id and fence: looks that saw it over

    def look(self) -> Report:
        """One pass. Can be repeated and run by several processes at once: each job changes once.

        Raises Unavailable if the database does not answer; an absent Redis is only reported.
        """
        service, now = self._service, self._service.clock()
        silent = _silent(now, self._term)
        with service.database.reading() as session:
            over = [(row.id, row.fence) for row in session.execute(_KEYS.where(silent))]
            left = [(row.id, row.fence) for row in session.execute(_KEYS.where(_LEFT))]
        fates: dict[JobState | None, list[str]] = collections.defaultdict(list)
        for condition, keys in ((silent, self._beyond_doubt(over, now)), (_LEFT, left)):
            for job, fence in keys:
                fates[_take_back(service, job, fence, condition)].append(job)
        sent, unreachable = _resend(service)
        service.forget_keys(older_than=service.clock() - _KEYS_KEPT)
        return Report(
            sent=tuple(sent),
            requeued=tuple(fates[JobState.QUEUED]),
            failed=tuple(fates[JobState.FAILED]),
            cancelled=tuple(fates[JobState.CANCELLED]),
            unreachable=unreachable,
        )

    def _beyond_doubt(
        self, over: list[tuple[str, int]], now: datetime.datetime
    ) -> list[tuple[str, int]]:
        """Those whose lease is over and whose holder had time to renew it."""
        since = None if self._last is None else now - self._last
        self._last = now
        if since is not None and not datetime.timedelta() <= since <= self._longest:
            self._doubting_until = now + self._term
            _log.info("no look for %s: silent workers get a new term", since)
        doubting = self._doubting_until is not None and now < self._doubting_until
        self._doubted = {
            key: self._doubted.get(key, 0) + 1 for key in over if doubting or key in self._doubted
        }
        return [key for key in over if self._doubted.get(key, self._looks) >= self._looks]


def reconcile(service: Service) -> Report:
    """One pass of one who just came. Raises Unavailable if the database does not answer."""
    return Reconciler(service).look()


def run_reconciler(service: Service, stop: threading.Event) -> None:
    """Reconcile every `reconcile_seconds` until `stop` is set; failures are logged and retried."""
    reconciler = Reconciler(service)
    while not stop.is_set():
        try:
            report = reconciler.look()
        except PtsysError as error:
            _log.warning("reconciling failed, next try follows: %s", error)
        else:
            if report != Report():
                _log.info("reconciled: %s", report)
        stop.wait(service.settings.reconcile_seconds)


_KEYS = select(JobRow.id, JobRow.fence)
# cancelled in the moment in which it was given back
_LEFT = and_(JobRow.state == JobState.QUEUED, JobRow.cancel_requested.is_(True))


def _silent(now: datetime.datetime, term: datetime.timedelta) -> ColumnElement[bool]:
    """Jobs whose lease is over. One that ends in a far future was given before a clock was set
    back, and would never be renewed by a worker that is dead."""
    over = or_(JobRow.lease_expires < now, JobRow.lease_expires > now + _FUTURE_TERMS * term)
    return and_(JobRow.state == JobState.RUNNING, over)


def _take_back(
    service: Service, job: str, fence: int, astray: ColumnElement[bool]
) -> JobState | None:
    """Decide the fate of a job gone astray; None if it no longer is.

    The fence grows, so whoever held the job can write no more.
    """
    now = service.clock()
    with service.database.session() as session:
        taken = changed(
            session,
            update(JobRow)
            .where(JobRow.id == job, JobRow.fence == fence, astray)
            .values(fence=JobRow.fence + 1),
        )
        if taken != 1:
            return None
        row = session.get_one(JobRow, job)
        if row.cancel_requested:
            finish(session, row, JobState.CANCELLED, now)
            return JobState.CANCELLED
        lost = f"worker {row.worker} fell silent at step {row.step}"
        if charge(row, service.settings.max_attempts):
            requeue(session, row, lost, now)
            return JobState.QUEUED
        row.error = (
            f"{lost}, the last of {row.attempts} attempts without progress; see the workers' logs "
            "(out of memory?), then submit the job again"
        )
        finish(session, row, JobState.FAILED, now, error=row.error)
        return JobState.FAILED


def _resend(service: Service) -> tuple[list[str], str | None]:
    """Announce waiting jobs whose message may be lost; also says why that failed, if it did.

    A message only wakes a worker, which then takes whose turn it is, and looks by itself now and
    then. So of each model a few of the longest waiting are enough, less the messages already in its
    queue: without a worker to read them, messages would pile up.
    """
    before = service.clock() - datetime.timedelta(seconds=service.settings.resend_seconds)
    queued = JobRow.state == JobState.QUEUED
    counts = select(JobRow.model, func.count()).where(queued).group_by(JobRow.model)
    with service.database.reading() as session:
        waiting = session.execute(counts).all()
    sent: list[str] = []
    try:
        for model, count in waiting:
            room = min(count, _MOST_SENT) - service.queue().depth(model)
            if room <= 0:
                continue
            stale = (
                select(JobRow.id)
                .where(queued, JobRow.model == model, _unheard(before))
                .order_by(JobRow.created, JobRow.id)
                .limit(room)
            )
            with service.database.reading() as session:
                jobs = list(session.scalars(stale))
            sent.extend(job for job in jobs if _send_again(service, job, model, before))
    except Unavailable as error:
        return sent, str(error)
    return sent, None


def _unheard(before: datetime.datetime) -> ColumnElement[bool]:
    """Jobs of which the queue never heard, or not since then."""
    return or_(JobRow.sent.is_(None), JobRow.sent < before)


def _send_again(service: Service, job: str, model: str, before: datetime.datetime) -> bool:
    """Announce the job unless another process did just now. Raises Unavailable."""
    with service.database.session() as session:
        marked = changed(
            session,
            update(JobRow)
            .where(JobRow.id == job, JobRow.state == JobState.QUEUED)
            .where(_unheard(before))
            .values(sent=service.clock()),
        )
        if marked != 1:
            return False
    service.announce(job, model)
    return True
