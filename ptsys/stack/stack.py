"""Redis, workers and the API of one data directory, started and stopped as one."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from ptsys.errors import Unavailable
from ptsys.stack.worker_process import api_process, worker_process

if TYPE_CHECKING:
    from ptsys.config import Settings
    from ptsys.jobs.presence import Presence
    from ptsys.jobs.redis_address import RedisAddress
    from ptsys.stack.child_process import ChildProcess

DRAIN_SECONDS = 30.0
"""How long a worker may take to finish its step and write its checkpoints."""

_POLL = 0.2
_DEATHS = 3  # a worker that dies so often before it is ready will not get ready


class Stack:
    """An embedded Redis, unless the settings name another one, workers of one model and, on
    request, the HTTP API.

    When it is left, or this process ends in whatever way, nothing of it stays behind.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        model: str,
        workers: int = 1,
        api_port: int | None = None,
        note: Callable[[str], None] = lambda text: None,
    ) -> None:
        """Nothing starts yet. `note` is told what happens, in words for users."""
        from ptsys.jobs.redis_server import EmbeddedRedis

        self.settings = settings
        self.model = model
        self._note = note
        self._redis = None if settings.redis_url else EmbeddedRedis(settings.root)
        self._address: RedisAddress | None = None
        self._workers = [worker_process(settings, model, i + 1) for i in range(workers)]
        self._api = None if api_port is None else api_process(settings, api_port)
        self._api_port = api_port

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
        return [pid for pid in (redis, *(child.pid for child in self._children)) if pid]

    @property
    def _children(self) -> list[ChildProcess]:
        return [*self._workers, *([] if self._api is None else [self._api])]

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
        """Wait until every worker takes work and the API answers; `progress` is told meanwhile.

        Raises Unavailable if a process dies again and again.
        """
        deaths = 0
        since = time.monotonic()
        while True:
            ready = {presence.pid: presence for presence in self._present()}
            states = [_state(ready.get(worker.pid or 0)) for worker in self._workers]
            if self._api is not None and not self._api_answers():
                states.append("starting the API")
            if all(state == "ready" for state in states):
                return
            states.sort(key="ready".__eq__)
            progress(f"{states[0]} ({time.monotonic() - since:.0f} s)")
            deaths += self.tend()
            if deaths >= _DEATHS:
                raise Unavailable(self._no_start())
            time.sleep(_POLL)

    def tend(self) -> int:
        """Start again what died, and say so; call it now and then. Returns how many died."""
        deaths = 0
        for child in self._children:
            deaths += child.exit_code() is not None
            happened = child.tend()
            if happened:
                self._note(happened)
        if self._redis is not None and self._redis.owned and not _answers(self.address):
            self._note("Redis is gone; it is started again")
            self._address = self._redis.start()
        return deaths

    def stop(self, timeout: float = DRAIN_SECONDS) -> None:
        """Let the workers drain, then stop Redis. Can be repeated."""
        for child in self._children:
            child.terminate()
        deadline = time.monotonic() + timeout
        try:
            for child in self._children:
                if not child.wait(deadline - time.monotonic()):
                    self._note(f"{child.name} did not drain in {timeout:.0f} s and was killed")
        finally:
            for child in self._children:
                child.wait(0)
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
        for child in self._children:
            child.start()

    def _no_start(self) -> str:
        if self._api is not None and not self._api_answers():
            return f"the API does not start. {self._api.last_words()}"
        return f"workers of model {self.model!r} do not start. {self._workers[0].last_words()}"

    def _api_answers(self) -> bool:
        assert self._api_port is not None
        connection = http.client.HTTPConnection(self.settings.api_host, self._api_port, timeout=2)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _present(self) -> list[Presence]:
        from ptsys.jobs.presence import workers
        from ptsys.jobs.redis_server import locate

        try:
            return workers(locate(self.settings))  # what its keys are called, is known by and by
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
