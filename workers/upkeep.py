"""What every worker does beside its work: say that it is there, and keep the service tidy."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import redis

from ptsys.errors import Unavailable
from ptsys.jobs.presence import PRESENCE_SECONDS, Presence, announce, withdraw
from ptsys.jobs.reconciler import run_reconciler
from ptsys.jobs.redis_address import RedisAddress
from ptsys.jobs.service import Service
from workers.sweep import TASK_SWEEP

SWEEP_SECONDS = 600.0
"""How often one of the workers is asked to sweep."""

logger = logging.getLogger(__name__)


class Upkeep:
    """Threads that announce this worker, reconcile, and ask for sweeps."""

    def __init__(
        self, service: Service, address: RedisAddress, describe: Callable[[], Presence]
    ) -> None:
        """`describe` says how the worker is now; nothing starts yet."""
        self._service = service
        self._address = address
        self._describe = describe
        self._stop = threading.Event()
        self._changed = threading.Event()
        self._threads = [
            threading.Thread(target=run, name=name, daemon=True)
            for name, run in (
                ("presence", self._run_presence),
                ("reconciler", lambda: run_reconciler(service, self._stop)),
                ("sweeper", self._run_sweeper),
            )
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def announce_soon(self) -> None:
        """The worker has changed: say so now."""
        self._changed.set()

    def stop(self) -> None:
        """End the threads, and take back the word that this worker is there."""
        self._stop.set()
        self._changed.set()
        self._threads[0].join(5.0)
        try:
            withdraw(self._address, self._describe().worker)
        except Unavailable:
            return  # its word ends by itself

    def _run_presence(self) -> None:
        while not self._stop.is_set():
            self._changed.clear()
            try:
                announce(self._address, self._describe())
            except Unavailable as error:
                logger.warning("this worker cannot say that it is there: %s", error)
            self._changed.wait(PRESENCE_SECONDS / 4)

    def _run_sweeper(self) -> None:
        while not self._stop.is_set():
            try:
                self._ask_for_sweep()
            except (Unavailable, redis.RedisError) as error:
                logger.debug("no sweep was asked for: %s", error)
            self._stop.wait(SWEEP_SECONDS / 4)

    def _ask_for_sweep(self) -> None:
        with self._address.client(timeout=3.0) as client:
            first = client.set(
                self._address.keys.swept, b"1", nx=True, px=round(SWEEP_SECONDS * 1000)
            )
        if first:
            self._service.queue().send_cpu(TASK_SWEEP)
