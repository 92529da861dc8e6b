"""Interactive requests: rows there, answers back, beside the Celery body and never stored.

A client puts the payload under a key of its own, pushes its id on the model's list and waits on
its result key. A Celery message goes out only to wake a worker that does not listen already: the
wake key says so, and a worker refreshes it while it takes requests. The payload lies in Redis
until it is answered, so if the worker dies, the wake key ends, and the waiting client announces
itself anew. Every key has a time to live, so whatever happens, nothing remains.
"""

from __future__ import annotations

import dataclasses
import secrets
import time
from typing import Any, Literal, cast

import redis

from ptsys.errors import InvalidInput, Unavailable
from ptsys.jobs.queue import Queue
from ptsys.jobs.redis_address import RedisAddress
from ptsys.jobs.wire import error_from_wire, error_to_wire, pack, unpack

Kind = Literal["predict", "gradients"]

WAKE_SECONDS = 5.0
"""A worker that took no requests for this long is thought dead by waiting clients."""

_SLICE_SECONDS = 1.0  # a waiting client looks this often whether a worker still listens
_PENDING_SECONDS = 3600.0  # a list of ids alone: those of dead clients are dropped on taking
_SOCKET_SECONDS = 30.0  # longer than any blocking command below

# KEYS: payload, result; ARGV: the answer. Answers once, and only while the client still waits.
_REPLY = """
local left = redis.call('PTTL', KEYS[1])
if redis.call('DEL', KEYS[1]) == 0 or left <= 0 then return 0 end
redis.call('RPUSH', KEYS[2], ARGV[1])
redis.call('PEXPIRE', KEYS[2], left)
return 1
"""
# KEYS: pending, wake. Deletes the wake key unless a request came in: a client pushes first and
# looks at the wake key second, so it either is seen here or sends a message itself.
_RETIRE = """
if redis.call('LLEN', KEYS[1]) > 0 then return 0 end
redis.call('DEL', KEYS[2])
return 1
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """One user's rows, waiting for an answer. Its repr shows none of them."""

    id: str
    model: str
    kind: Kind
    header: dict[str, Any] = dataclasses.field(repr=False)
    tensors: bytes | None = dataclasses.field(repr=False)
    deadline: float
    """On this process's `time.monotonic()`; after it nobody waits for the answer."""


class RequestChannel:
    """Both ends of the interactive path through one Redis. Safe for use by many threads."""

    def __init__(self, address: RedisAddress, queue: Queue | None = None) -> None:
        """Connect lazily; `queue` is where wake-up messages go, by default on the same Redis."""
        self._address = address
        self._queue = queue or Queue(address)
        self._redis = address.client(timeout=_SOCKET_SECONDS)
        self._reply = self._redis.register_script(_REPLY)
        self._retire = self._redis.register_script(_RETIRE)

    def call(
        self,
        model: str,
        kind: Kind,
        header: dict[str, Any],
        tensors: bytes | None = None,
        *,
        timeout: float = 60.0,
    ) -> tuple[dict[str, Any], bytes | None]:
        """Send rows to a worker of this model and return its answer.

        `header` is plain data (JSON types and bytes). Raises what the worker raised (InvalidInput,
        NotFound, ...), or Unavailable if no answer came within `timeout` seconds.
        """
        identifier = secrets.token_hex(16)
        payload = pack({"kind": kind, "header": header, "tensors": tensors})
        deadline = time.monotonic() + timeout
        try:
            self._redis.set(_payload(identifier), payload, px=_milliseconds(timeout))
            del payload
            try:
                answer = self._wait(identifier, model, deadline)
            finally:
                self._redis.delete(_payload(identifier), _result(identifier))
        except redis.RedisError as error:
            raise self._address.unavailable(error) from error
        if answer is None:
            raise Unavailable(self._no_answer(model, timeout))
        reply = unpack(answer)
        if "error" in reply:
            raise error_from_wire(reply["error"])
        return reply["header"], reply["tensors"]

    def take(self, model: str, *, block_seconds: float = 1.0, limit: int = 64) -> list[Request]:
        """Up to `limit` requests, waiting up to `block_seconds` for the first; maybe none.

        Tells clients that a worker listens for the next WAKE_SECONDS. Leaves out requests whose
        client gave up. Raises Unavailable if Redis does not answer.
        """
        try:
            self.keep_awake(model)
            first = self._redis.blpop([_pending(model)], timeout=max(block_seconds, 0.01))
            if first is None:
                return []
            more = self._redis.lpop(_pending(model), limit - 1) if limit > 1 else None
            self.keep_awake(model)
            ids = dict.fromkeys([first[1], *(more or ())])
            return self._requests(model, [identifier.decode() for identifier in ids])
        except redis.RedisError as error:
            raise self._address.unavailable(error) from error

    def keep_awake(self, model: str) -> None:
        """Tell clients that a worker listens: for one that is busy longer than WAKE_SECONDS.
        Raises Unavailable if Redis does not answer."""
        try:
            self._redis.set(_wake(model), b"1", px=_milliseconds(WAKE_SECONDS))
        except redis.RedisError as error:
            raise self._address.unavailable(error) from error

    def retire(self, model: str) -> bool:
        """Stop listening: True if so, False if requests came in meanwhile, then `take` them.

        Raises Unavailable if Redis does not answer.
        """
        try:
            return bool(self._retire(keys=[_pending(model), _wake(model)]))
        except redis.RedisError as error:
            raise self._address.unavailable(error) from error

    def reply(self, request: Request, header: dict[str, Any], tensors: bytes | None = None) -> bool:
        """Answer; False if nobody waits any longer, or it was answered already.

        Raises Unavailable if Redis does not answer.
        """
        return self._answer(request.id, {"header": header, "tensors": tensors})

    def reply_error(self, request: Request, error: BaseException) -> bool:
        """Answer with an error, raised at the client as what it is if it is a PtsysError."""
        return self._answer_error(request.id, error)

    def pending(self, model: str) -> int:
        """How many requests wait to be taken. Raises Unavailable."""
        try:
            return int(self._redis.llen(_pending(model)))
        except redis.RedisError as error:
            raise self._address.unavailable(error) from error

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()
        self._queue.close()

    def _wait(self, identifier: str, model: str, deadline: float) -> bytes | None:
        """Announce the request, and again whenever no worker listens, until its answer is here."""
        self._push(identifier, model)  # first, then look at the wake key: see _RETIRE
        while True:
            if self._redis.set(_wake(model), b"1", nx=True, px=_milliseconds(WAKE_SECONDS)):
                self._queue.send_serve(model)
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            answer = self._redis.blpop([_result(identifier)], timeout=min(left, _SLICE_SECONDS))
            if answer is not None:
                return cast(bytes, answer[1])
            if not self._redis.exists(_wake(model)):  # whoever took it may be dead
                self._push(identifier, model)

    def _push(self, identifier: str, model: str) -> None:
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.rpush(_pending(model), identifier)
            pipe.pexpire(_pending(model), _milliseconds(_PENDING_SECONDS))
            pipe.execute()

    def _requests(self, model: str, ids: list[str]) -> list[Request]:
        with self._redis.pipeline(transaction=False) as pipe:
            for identifier in ids:
                pipe.get(_payload(identifier))
                pipe.pttl(_payload(identifier))
            found = pipe.execute()
        now = time.monotonic()
        requests = []
        for identifier, payload, left in zip(ids, found[::2], found[1::2], strict=True):
            if payload is None or left <= 0:
                continue
            try:
                message = unpack(payload)
                parts = {name: message[name] for name in ("kind", "header", "tensors")}
            except (Unavailable, KeyError) as error:  # this one alone is wrong: tell its client
                self._answer_error(identifier, error)
                continue
            requests.append(Request(identifier, model, **parts, deadline=now + left / 1000))
        return requests

    def _answer_error(self, identifier: str, error: BaseException) -> bool:
        return self._answer(identifier, {"error": error_to_wire(error)})

    def _answer(self, identifier: str, message: dict[str, Any]) -> bool:
        try:
            packed = pack(message)
        except InvalidInput as error:
            packed = pack({"error": error_to_wire(error)})
        try:
            keys = [_payload(identifier), _result(identifier)]
            return bool(self._reply(keys=keys, args=[packed]))
        except redis.RedisError as error:
            raise self._address.unavailable(error) from error

    def _no_answer(self, model: str, timeout: float) -> str:
        waiting = self.pending(model)
        return (
            f"no worker for model {model!r} answered within {timeout:g} s "
            f"({waiting} requests wait at {self._address}); check that one runs for this model "
            "(`ptsys up` or `ptsys worker`), or wait longer: a first request may compile"
        )


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _payload(identifier: str) -> str:
    return f"ptsys:request:{identifier}"


def _result(identifier: str) -> str:
    return f"ptsys:result:{identifier}"


def _pending(model: str) -> str:
    return f"ptsys:pending:{model}"


def _wake(model: str) -> str:
    return f"ptsys:wake:{model}"
