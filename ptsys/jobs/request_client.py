"""The client's end of the interactive path: the requests of a process, over two connections.

Requests that come while a round trip is under way share the next one, and the answers to all come
back on one list of the process's own. So a lone request waits for nobody, and a crowd costs few
round trips.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import secrets
import time
from typing import Any

import redis
from redis.asyncio import Redis

from ptsys.errors import Unavailable
from ptsys.jobs import requests
from ptsys.jobs.queue import Queue
from ptsys.jobs.redis_address import RedisAddress
from ptsys.jobs.requests import (
    Answer,
    Kind,
    milliseconds,
)
from ptsys.jobs.wire import error_from_wire, pack, unpack

_LOOK_SECONDS = 1.0  # so often those who wait look whether a worker still listens
_PENDING_SECONDS = 3600.0  # a list of ids alone: those of dead clients are dropped on taking
_ANSWERS_AT_ONCE = 256


@dataclasses.dataclass(slots=True)
class _Waiting:
    """A request of this process. Its payload is kept only until Redis has it."""

    model: str
    payload: bytes | None
    deadline: float
    answer: asyncio.Future[memoryview]
    since: float


class RequestClient:
    """Asks workers through one Redis; everything runs on the event loop it was made on."""

    def __init__(self, address: RedisAddress, queue: Queue | None = None) -> None:
        """Connect lazily; `queue` is where wake-up messages go, by default on the same Redis."""
        self.loop = asyncio.get_running_loop()
        self._address = address
        self._keys = address.keys
        self._queue = queue or Queue(address)
        self._redis: Redis = address.async_client()
        self._token = secrets.token_hex(16)
        self._numbers = itertools.count()
        self._waiting: dict[str, _Waiting] = {}
        self._outbox: list[str] = []
        self._done: list[str] = []  # ids whose keys are of no more use
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def call(
        self,
        model: str,
        kind: Kind,
        header: dict[str, Any],
        tensors: bytes | None = None,
        *,
        timeout: float = 60.0,
    ) -> Answer:
        """Send rows to a worker of this model and return its answer.

        `header` is plain data (JSON types and bytes). Raises what the worker raised (InvalidInput,
        NotFound, ...), or Unavailable if no answer came within `timeout` seconds.
        """
        payload = pack({"kind": kind, "header": header, "tensors": tensors})
        identifier = f"{self._token}.{next(self._numbers)}"
        now = time.monotonic()
        waiting = _Waiting(model, payload, now + timeout, self.loop.create_future(), now)
        self._waiting[identifier] = waiting
        self._announce([identifier])
        self._keep("receive", self._receive)
        self._keep("look", self._look)
        try:
            async with asyncio.timeout(timeout):
                reply = unpack(await waiting.answer)
        except TimeoutError:
            raise Unavailable(await self._no_answer(model, timeout)) from None
        finally:
            del self._waiting[identifier]
            if not waiting.answer.done() or waiting.answer.cancelled():
                self._done.append(identifier)
                self._keep("send", self._send)
        if "error" in reply:
            raise error_from_wire(reply["error"])
        return reply["header"], reply["tensors"]

    async def close(self) -> None:
        """Close the connections; who still waits is told that no answer will come."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._fail(list(self._waiting), Unavailable("this process shuts down; ask again"))
        with contextlib.suppress(redis.RedisError, OSError):
            await self._redis.aclose()
        await asyncio.to_thread(self._queue.close)

    # ---- on their way -----------------------------------------------------------------------

    def _keep(self, name: str, work: Any) -> None:
        """Have that work done by one task, which ends when nothing is left to do."""
        task = self._tasks.get(name)
        if task is None or task.done():
            self._tasks[name] = self.loop.create_task(self._guarded(work))

    async def _guarded(self, work: Any) -> None:
        try:
            await work()
        except (redis.RedisError, OSError) as error:
            self._fail(list(self._waiting), self._address.unavailable(error))
        except Unavailable as error:
            self._fail(list(self._waiting), error)

    def _announce(self, identifiers: list[str]) -> None:
        self._outbox.extend(identifiers)
        self._keep("send", self._send)

    async def _send(self) -> None:
        """Tell workers of all that came, and drop what is of no more use; then look again."""
        while self._outbox or self._done:
            outbox, self._outbox = self._outbox, []
            done, self._done = self._done, []
            told = {name: self._waiting[name] for name in outbox if name in self._waiting}
            models = sorted({waiting.model for waiting in told.values()})
            now = time.monotonic()
            async with self._redis.pipeline(transaction=False) as pipe:
                for name, waiting in told.items():
                    if waiting.payload is not None:
                        left = milliseconds(waiting.deadline - now)
                        pipe.set(self._keys.request(name), waiting.payload, px=left)
                        waiting.payload = None
                    pipe.rpush(self._keys.pending(waiting.model), name)
                for name in done:
                    pipe.delete(self._keys.request(name), self._keys.takers(name))
                for model in models:  # after the ids: a worker that retires sees one or the other
                    pipe.pexpire(self._keys.pending(model), milliseconds(_PENDING_SECONDS))
                    wake = milliseconds(requests.WAKE_SECONDS)
                    pipe.set(self._keys.wake(model), b"1", nx=True, px=wake)
                answers = await pipe.execute()
            woken = answers[len(answers) - 2 * len(models) :][1::2]
            for model, woke in zip(models, woken, strict=True):
                if woke:
                    await asyncio.to_thread(self._queue.send_serve, model)

    async def _look(self) -> None:
        """While someone waits: if no worker of the model listens, whoever took the request may be
        dead, so announce it again."""
        while self._waiting:
            await asyncio.sleep(min(_LOOK_SECONDS, requests.WAKE_SECONDS))
            old = time.monotonic() - _LOOK_SECONDS / 2
            waiting = {name: one for name, one in self._waiting.items() if one.since < old}
            models = sorted({one.model for one in waiting.values()})
            async with self._redis.pipeline(transaction=False) as pipe:
                for model in models:
                    pipe.exists(self._keys.wake(model))
                awake = dict(zip(models, await pipe.execute(), strict=True))
            again = [name for name, one in waiting.items() if not awake[one.model]]
            if again:
                self._announce(again)

    # ---- and back ---------------------------------------------------------------------------

    async def _receive(self) -> None:
        answers = self._keys.answers(self._token)
        while self._waiting:
            first: Any = await self._redis.blpop([answers], timeout=_LOOK_SECONDS)
            if first is None:
                continue
            self._deliver(first[1])
            if self._waiting:
                more: Any = await self._redis.lpop(answers, _ANSWERS_AT_ONCE)
                for answer in more or ():
                    self._deliver(answer)

    def _deliver(self, message: bytes) -> None:
        end = message.find(b" ")
        waiting = self._waiting.get(message[:end].decode("latin-1"))
        if waiting is not None and not waiting.answer.done():
            waiting.answer.set_result(memoryview(message)[end + 1 :])

    def _fail(self, names: list[str], error: Unavailable) -> None:
        for name in names:
            waiting = self._waiting[name]
            if not waiting.answer.done():
                waiting.answer.set_exception(error)

    async def _no_answer(self, model: str, timeout: float) -> str:
        try:
            pending = f"{await self._redis.llen(self._keys.pending(model))} requests wait"
        except (redis.RedisError, OSError) as error:
            raise self._address.unavailable(error) from error
        return (
            f"no worker for model {model!r} answered within {timeout:g} s "
            f"({pending} at {self._address}); check that one runs for this model "
            "(`ptsys up` or `ptsys worker`), or wait longer: a first request may compile"
        )
