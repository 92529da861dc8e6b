"""Redis and workers of one data directory, started and stopped as one."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from ptsys.cli.worker_process import WorkerProcess
from ptsys.errors import Unavailable

if TYPE_CHECKING:
    from ptsys.config import Settings
    from ptsys.jobs.presence import Presence
    from ptsys.jobs.redis_address import RedisAddress

DRAIN_SECONDS = 30.0
"""How long a worker may take to finish its step and write its checkpoints."""

_POLL = 0.2
_DEATHS = 3  # a worker that dies so often before it is ready will not get ready


class Stack:
    """An embedded Redis, unless the settings name another one, and workers of one model.

    When it is left, or this process ends in whatever way, nothing of it stays behind.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        model: str,
        workers: int = 1,
        note: Callable[[str], None] = lambda text: None,
    ) -> None:
        """Nothing starts yet. `note` is told what happens, in words for users."""
        from ptsys.jobs.redis_server import EmbeddedRedis

        self.settings = settings
        self.model = model
        self._note = note
        self._redis = None if settings.redis_url else EmbeddedRedis(settings.root)
        self._address: RedisAddress | None = None
        self._workers = [WorkerProcess(settings, model, i + 1) for i in range(workers)]

    @property
    def address(self) -> RedisAddress:
        """Where Redis is. Raises Unavailable before it runs."""
        if self._address is None:
            raise Unavailable("the stack was not started")
        return self._address

    @property
    def pids(self) -> list[int]:
        """The processes it started and that it will stop."""
        redis = self._redis.pid if self._redis is not None else None
        return [pid for pid in (redis, *(worker.pid for worker in self._workers)) if pid]

    def __enter__(self) -> Stack:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def wait_until_ready(self, progress: Callable[[str], None] = lambda text: None) -> None:
        """Wait until every worker takes work; `progress` is told what it does meanwhile.

        Raises Unavailable if a worker dies again and again.
        """
        deaths = 0
        since = time.monotonic()
        while True:
            ready = {presence.pid: presence for presence in self._present()}
            states = [_state(ready.get(worker.pid or 0)) for worker in self._workers]
            if all(state == "ready" for state in states):
                return
            progress(f"{states[0]} ({time.monotonic() - since:.0f} s)")
            deaths += self.tend()
            if deaths >= _DEATHS:
                raise Unavailable(
                    f"workers of model {self.model!r} do not start. {self._workers[0].last_words()}"
                )
            time.sleep(_POLL)

    def tend(self) -> int:
        """Start again what died, and say so; call it now and then. Returns how many died."""
        deaths = 0
        for worker in self._workers:
            deaths += worker.exit_code() is not None
            happened = worker.tend()
            if happened:
                self._note(happened)
        if self._redis is not None and self._redis.owned and not _answers(self.address):
            self._note("Redis is gone; it is started again")
            self._address = self._redis.start()
        return deaths

    def stop(self, timeout: float = DRAIN_SECONDS) -> None:
        """Let the workers drain, then stop Redis. Can be repeated."""
        for worker in self._workers:
            worker.terminate()
        deadline = time.monotonic() + timeout
        try:
            for worker in self._workers:
                if not worker.wait(deadline - time.monotonic()):
                    self._note(f"{worker.name} did not drain in {timeout:.0f} s and was killed")
        finally:
            for worker in self._workers:
                worker.wait(0)
            if self._redis is not None:
                self._redis.stop()
            self._address = None

    def _start(self) -> None:
        from ptsys.jobs.redis_address import RedisAddress

        if self._redis is not None:
            self._address = self._redis.start()
        else:
            self._address = RedisAddress(self.settings.redis_url or "")
            self._address.check()
        for worker in self._workers:
            worker.start()

    def _present(self) -> list[Presence]:
        from ptsys.jobs.presence import workers

        try:
            return workers(self.address)
        except Unavailable:
            return []


def _state(presence: Presence | None) -> str:
    if presence is None:
        return "starting the worker"
    if presence.ready:
        return "ready"
    return "loading the model"


def _answers(address: RedisAddress) -> bool:
    try:
        address.check()
    except Unavailable:
        return False
    return True
