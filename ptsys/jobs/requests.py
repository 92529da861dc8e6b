"""Interactive requests: rows there, answers back, beside the Celery body and never stored.

Who asks (`ptsys.jobs.request_client`) puts the payload under a key of its own, pushes its id on the
model's list and waits for answers on a list of its own process. A Celery message goes out only to
wake a worker that does not listen already: the wake key says so, and a worker refreshes it while it
takes requests. The payload lies in Redis until it is answered, so if the worker dies, the wake key
ends, and the waiting client announces itself anew. Every key has a time to live, so whatever
happens, nothing remains.
"""

from __future__ import annotations

import dataclasses
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import redis

from ptsys.errors import InvalidInput, Unavailable
from ptsys.jobs.redis_address import RedisAddress
from ptsys.jobs.wire import error_to_wire, pack, unpack

Kind = Literal["predict", "gradients", "encode", "emit"]
Answer = tuple[dict[str, Any], bytes | None]
"""A header of plain data, and a safetensors file."""

WAKE_SECONDS = 5.0
"""A worker that took no requests for this long is thought dead by waiting clients."""

_MOST_TAKERS = 3  # workers that may take a request before the next one refuses it
_SOCKET_SECONDS = 30.0  # longer than any blocking command below
_ANSWER_BYTES = 8 * 2**20  # answers that go in one round trip

# KEYS: pending, wake; ARGV: how many, how long the worker listens (ms), who takes, how the keys of
# requests begin, ids that were taken already. Takes more ids; returns id, payload, milliseconds
# left and takers of each.
_TAKE = """
redis.call('SET', KEYS[2], '1', 'PX', ARGV[2])
local ids = {unpack(ARGV, 5)}
local more = redis.call('LPOP', KEYS[1], ARGV[1])
for _, id in ipairs(more or {}) do ids[#ids + 1] = id end
local found = {}
for _, id in ipairs(ids) do
    local key = ARGV[4] .. id
    local left = redis.call('PTTL', key)
    local takers = 0
    if left > 0 then
        redis.call('SADD', key .. ':takers', ARGV[3])
        redis.call('PEXPIRE', key .. ':takers', left)
        takers = redis.call('SCARD', key .. ':takers')
    end
    found[#found + 1] = {id, redis.call('GET', key) or '', left, takers}
end
return found
"""
# KEYS: payload, answers; ARGV: the answer. Answers once, and only while the client still waits.
_REPLY = """
local left = redis.call('PTTL', KEYS[1])
redis.call('DEL', KEYS[1] .. ':takers')
if redis.call('DEL', KEYS[1]) == 0 or left <= 0 then return 0 end
redis.call('RPUSH', KEYS[2], ARGV[1])
redis.call('PEXPIRE', KEYS[2], math.max(left, 1000))
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
    """The worker's end of the interactive path. Safe for use by many threads.

    A request that several workers took and none answered is refused by the next: whoever asked
    announces it again and again, and it may be what ends them, one after the other.
    """

    def __init__(self, address: RedisAddress) -> None:
        """Connect lazily."""
        self._address = address
        self._keys = address.keys
        self._token = secrets.token_hex(8)
        self._redis = address.client(timeout=_SOCKET_SECONDS)
        self._take = self._redis.register_script(_TAKE)
        self._retire = self._redis.register_script(_RETIRE)

    def take(self, model: str, *, block_seconds: float = 1.0, limit: int = 64) -> list[Request]:
        """Up to `limit` requests, waiting up to `block_seconds` for the first; maybe none.

        Tells clients that a worker listens for the next WAKE_SECONDS. Leaves out requests whose
        client gave up. Raises Unavailable if Redis does not answer.
        """
        try:
            self.keep_awake(model)
            first = self._redis.blpop([self._keys.pending(model)], timeout=max(block_seconds, 0.01))
            if first is None:
                return []
            found = self._take(
                keys=[self._keys.pending(model), self._keys.wake(model)],
                args=[
                    max(limit - 1, 0),
                    milliseconds(WAKE_SECONDS),
                    self._token,
                    self._keys.request(""),
                    first[1],
                ],
            )
        except redis.RedisError as error:
            raise self._address.unavailable(error) from error
        return list(self._requests(model, found))

    def keep_awake(self, model: str) -> None:
        """Tell clients that a worker listens: for one that is busy longer than WAKE_SECONDS.
        Raises Unavailable if Redis does not answer."""
        try:
            self._redis.set(self._keys.wake(model), b"1", px=milliseconds(WAKE_SECONDS))
        except redis.RedisError as error:
            raise self._address.unavailable(error) from error

    def retire(self, model: str) -> bool:
        """Stop listening: True if so, False if requests came in meanwhile, then `take` them.

        Raises Unavailable if Redis does not answer.
        """
        try:
            return bool(self._retire(keys=[self._keys.pending(model), self._keys.wake(model)]))
        except redis.RedisError as error:
            raise self._address.unavailable(error) from error

    def reply(self, answers: Sequence[tuple[Request, Answer | BaseException]]) -> list[bool]:
        """Answer requests, with a header and a tensor, or with an error, which is raised at the
        client as what it is if it is a PtsysError. Says for each whether somebody waited.

        Raises Unavailable if Redis does not answer.
        """
        sent: list[bool] = []
        packed = [(request.id, _packed(answer)) for request, answer in answers]
        try:
            for portion in _portions(packed):
                with self._redis.pipeline(transaction=False) as pipe:
                    for identifier, message in portion:
                        keys = (
                            self._keys.request(identifier),
                            self._keys.answers(_asker_of(identifier)),
                        )
                        pipe.eval(_REPLY, 2, *keys, identifier.encode() + b" " + message)
                    sent += map(bool, pipe.execute())
        except redis.RedisError as error:
            raise self._address.unavailable(error) from error
        return sent

    def abandoned(self, requests: Sequence[Request]) -> list[Request]:
        """Those of these requests that nobody waits for any more: whoever asked took them back, or
        their time is over. Raises Unavailable if Redis does not answer."""
        if not requests:
            return []
        try:
            with self._redis.pipeline(transaction=False) as pipe:
                for request in requests:
                    pipe.exists(self._keys.request(request.id))
                there = pipe.execute()
        except redis.RedisError as error:
            raise self._address.unavailable(error) from error
        return [request for request, waits in zip(requests, there, strict=True) if not waits]

    def pending(self, model: str) -> int:
        """How many requests wait to be taken. Raises Unavailable."""
        try:
            return int(self._redis.llen(self._keys.pending(model)))
        except redis.RedisError as error:
            raise self._address.unavailable(error) from error

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def _requests(
        self, model: str, found: Sequence[tuple[bytes, bytes, int, int]]
    ) -> Iterator[Request]:
        now, seen = time.monotonic(), set()
        for name, payload, left, takers in found:
            identifier = name.decode("latin-1")
            if left <= 0 or identifier in seen:
                continue
            seen.add(identifier)
            deadline = now + left / 1000
            if takers > _MOST_TAKERS:
                refusal = InvalidInput(
                    f"{takers - 1} workers ended or fell silent while they had this request; it "
                    "is not tried again. Send fewer or shorter rows, or look at the workers' logs"
                )
                self.reply([(Request(identifier, model, "predict", {}, None, deadline), refusal)])
                continue
            try:
                message = unpack(payload)
                parts = {name: message[name] for name in ("kind", "header", "tensors")}
            except (Unavailable, KeyError) as error:  # this one alone is wrong: tell its client
                self.reply([(Request(identifier, model, "predict", {}, None, deadline), error)])
                continue
            yield Request(identifier, model, **parts, deadline=deadline)


def _packed(answer: Answer | BaseException) -> bytes:
    if isinstance(answer, BaseException):
        return pack({"error": error_to_wire(answer)})
    header, tensors = answer
    try:
        return pack({"header": header, "tensors": tensors})
    except InvalidInput as error:
        return pack({"error": error_to_wire(error)})


def _portions(messages: Iterable[tuple[str, bytes]]) -> Iterator[list[tuple[str, bytes]]]:
    """The messages, as many at a time as one round trip should carry."""
    portion: list[tuple[str, bytes]] = []
    size = 0
    for name, message in messages:
        if portion and size + len(message) > _ANSWER_BYTES:
            yield portion
            portion, size = [], 0
        portion.append((name, message))
        size += len(message)
    if portion:
        yield portion


def milliseconds(seconds: float) -> int:
    """A time to live as Redis wants it, at least one."""
    return max(1, round(seconds * 1000))


def _asker_of(identifier: str) -> str:
    """The process that waits for this request's answer."""
    return identifier.partition(".")[0]
