"""The reconciler: brings queue and leases back in line with the records."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import logging
import threading

from sqlalchemy import ColumnElement, and_, or_, select, update

from ptsys.errors import PtsysError, Unavailable
from ptsys.jobs.leases import finish, requeue
from ptsys.jobs.service import Service
from ptsys.store.database import changed
from ptsys.store.tables import JobRow
from ptsys.types.records import JobState

_log = logging.getLogger(__name__)
_KEYS_KEPT = datetime.timedelta(days=7)


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


def reconcile(service: Service) -> Report:
    """One pass. Can be repeated and run by several processes at once: each job changes once.

    Raises Unavailable if the database does not answer; an absent Redis is only reported.
    """
    ended: dict[JobState, list[str]] = collections.defaultdict(list)
    with service.database.reading() as session:
        astray = session.execute(
            select(JobRow.id, JobRow.fence).where(_astray(service.clock()))
        ).all()
    for row in astray:
        state = _take_back(service, row.id, row.fence)
        if state is not None:
            ended[state].append(row.id)
    sent, unreachable = _resend(service)
    service.forget_keys(older_than=service.clock() - _KEYS_KEPT)
    return Report(
        sent=tuple(sent),
        requeued=tuple(ended[JobState.QUEUED]),
        failed=tuple(ended[JobState.FAILED]),
        cancelled=tuple(ended[JobState.CANCELLED]),
        unreachable=unreachable,
    )


def run_reconciler(service: Service, stop: threading.Event) -> None:
    """Reconcile every `reconcile_seconds` until `stop` is set; failures are logged and retried."""
    while not stop.is_set():
        try:
            report = reconcile(service)
        except PtsysError as error:
            _log.warning("reconciling failed, next try follows: %s", error)
        else:
            if report != Report():
                _log.info("reconciled: %s", report)
        stop.wait(service.settings.reconcile_seconds)


def _astray(now: datetime.datetime) -> ColumnElement[bool]:
    """Jobs whose lease is over, and waiting ones that were cancelled in the same moment."""
    return or_(
        and_(JobRow.state == JobState.RUNNING, JobRow.lease_expires < now),
        and_(JobRow.state == JobState.QUEUED, JobRow.cancel_requested.is_(True)),
    )


def _take_back(service: Service, job: str, fence: int) -> JobState | None:
    """Decide the fate of a job gone astray; None if it no longer is.

    The fence grows, so whoever held the job can write no more.
    """
    now = service.clock()
    with service.database.session() as session:
        taken = changed(
            session,
            update(JobRow)
            .where(JobRow.id == job, JobRow.fence == fence, _astray(now))
            .values(fence=JobRow.fence + 1),
        )
        if taken != 1:
            return None
        row = session.get_one(JobRow, job)
        if row.cancel_requested:
            finish(session, row, JobState.CANCELLED, now)
            return JobState.CANCELLED
        row.attempts += 1
        lost = f"worker {row.worker} fell silent at step {row.step}"
        if row.attempts < service.settings.max_attempts:
            requeue(session, row, lost, now)
            return JobState.QUEUED
        row.error = (
            f"{lost}, the last of {row.attempts} attempts; see the workers' logs (out of memory?), "
            "then submit the job again"
        )
        finish(session, row, JobState.FAILED, now, error=row.error)
        return JobState.FAILED


def _resend(service: Service) -> tuple[list[str], str | None]:
    """Announce waiting jobs whose message may be lost; also says why that failed, if it did.

    Never more than there are waiting jobs of the model, less the messages already in its queue:
    without a worker to read them, messages would pile up.
    """
    before = service.clock() - datetime.timedelta(seconds=service.settings.resend_seconds)
    with service.database.reading() as session:
        waiting = session.execute(
            select(JobRow.id, JobRow.model, JobRow.sent)
            .where(JobRow.state == JobState.QUEUED)
            .order_by(JobRow.created, JobRow.id)
        ).all()
    sent: list[str] = []
    try:
        for model, count in collections.Counter(row.model for row in waiting).items():
            room = max(count - service.queue().depth(model), 0)
            stale = [
                row.id
                for row in waiting
                if row.model == model and (row.sent is None or row.sent < before)
            ]
            sent.extend(job for job in stale[:room] if _send_again(service, job, model, before))
    except Unavailable as error:
        return sent, str(error)
    return sent, None


def _send_again(service: Service, job: str, model: str, before: datetime.datetime) -> bool:
    """Announce the job unless another process did just now. Raises Unavailable."""
    with service.database.session() as session:
        marked = changed(
            session,
            update(JobRow)
            .where(JobRow.id == job, JobRow.state == JobState.QUEUED)
            .where(or_(JobRow.sent.is_(None), JobRow.sent < before))
            .values(sent=service.clock()),
        )
        if marked != 1:
            return False
    service.announce(job, model)
    return True
