"""The Celery consumer of a worker process, in a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Any

from celery import Celery
from celery.worker import WorkController, state

logger = logging.getLogger(__name__)

CONCURRENCY = 2  # no task takes long; see `workers.tasks`


class Consumer:
    """Takes messages until stopped. Celery's own signal handlers stay out of it: how a worker
    ends is decided in `workers.__main__`. One for each process, as Celery's state is global."""

    def __init__(self, app: Celery, queues: Sequence[str], hostname: str) -> None:
        """Listen on these queues; nothing starts yet."""
        self._worker = WorkController(
            app=app,
            hostname=hostname,
            pool_cls="threads",
            concurrency=CONCURRENCY,
            queues=list(queues),
            ready_callback=self._on_ready,
            without_mingle=True,
            without_gossip=True,
            without_heartbeat=True,
        )
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="celery", daemon=True)

    def start(self, timeout: float = 10.0) -> bool:
        """Start, and wait until it listens; False if Redis lets it wait longer."""
        state.should_stop = None
        self._thread.start()
        return self._ready.wait(timeout)

    @property
    def alive(self) -> bool:
        """It listens, or tries to connect."""
        return self._thread.is_alive()

    def stop(self, timeout: float = 3.0) -> bool:
        """Take no more messages and give back those not begun; True once it has ended.

        It may not end in time while Redis is away. Nothing is lost then either: a message only
        points at a record, which the reconciler announces again.
        """
        state.should_stop = 0
        hub: Any = getattr(self._worker, "hub", None)
        if hub is not None:
            hub.call_soon(_nothing)  # wakes its poll
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._worker.start()
        except BaseException:  # SystemExit too: only this thread ends, __main__ sees that
            logger.exception("the Celery consumer ended")

    def _on_ready(self, _consumer: object) -> None:
        self._ready.set()


def _nothing() -> None:
    pass
