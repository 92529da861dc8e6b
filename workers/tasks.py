"""The tasks a worker knows. Their messages carry an id at most; each task returns at once."""

from __future__ import annotations

import logging
from typing import Protocol

from celery import Celery

from ptsys.errors import PtsysError
from ptsys.jobs.queue import TASK_LOOK, TASK_SERVE
from ptsys.jobs.reconciler import reconcile
from ptsys.jobs.service import Service
from workers.sweep import TASK_SWEEP, sweep

TASK_RECONCILE = "ptsys.reconcile"
logger = logging.getLogger(__name__)


class Host(Protocol):
    """Whoever serves a model; `workers.host.ModelHost` does."""

    def look(self, job: str) -> None:
        """That job waits."""
        ...

    def serve(self) -> None:
        """Interactive requests wait."""
        ...


def add_device_tasks(app: Celery, host: Host) -> None:
    """Teach the application the messages of a model's queue."""

    def look(job: str) -> None:
        host.look(str(job))

    def serve(_model: str) -> None:
        host.serve()

    app.task(name=TASK_LOOK)(look)
    app.task(name=TASK_SERVE)(serve)


def add_cpu_tasks(app: Celery, service: Service) -> None:
    """Teach the application the messages that need no accelerator."""

    def sweep_task() -> None:
        try:
            swept = sweep(service)
        except PtsysError as error:
            logger.error("nothing was swept: %s", error)
            return
        if swept:
            logger.info("swept %d leftovers", len(swept))

    def reconcile_task() -> None:
        logger.info("reconciled on demand: %s", reconcile(service))

    app.task(name=TASK_SWEEP)(sweep_task)
    app.task(name=TASK_RECONCILE)(reconcile_task)
