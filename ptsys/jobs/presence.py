"""Which workers are there: each says so in Redis, for a few seconds at a time."""

from __future__ import annotations

import datetime

import redis
from pydantic import ValidationError

from ptsys.jobs.redis_address import RedisAddress
from ptsys.types.compiling import Compiling
from ptsys.types.model import Value

PRESENCE_SECONDS = 10.0
"""A worker that did not announce itself for this long is no longer listed."""


class Presence(Value):
    """What a worker tells of itself. Without a model it does the CPU's work alone; until `ready`
    it still loads. `capacity` is how many `residents` it has places for. Steps of the device, and
    rows in them, count from its start; `compiling` are shapes that it makes now, which steps will
    be faster for, `compiles` those under way. `clock` is when it said so, by its own clock."""

    worker: str
    model: str | None = None
    fingerprint: str | None = None
    ready: bool = False
    residents: int = 0
    capacity: int = 0
    interactive_steps: int = 0
    interactive_rows: int = 0
    training_steps: int = 0
    training_rows: int = 0
    compiling: int = 0
    compiles: tuple[Compiling, ...] = ()
    host: str
    pid: int
    since: datetime.datetime
    clock: datetime.datetime | None = None


def announce(address: RedisAddress, presence: Presence) -> None:
    """Be listed for the next PRESENCE_SECONDS. Raises Unavailable if Redis does not answer."""
    try:
        with address.client(timeout=3.0) as client, client.pipeline() as pipe:
            left = round(PRESENCE_SECONDS * 1000)
            pipe.set(address.keys.worker(presence.worker), presence.model_dump_json(), px=left)
            pipe.sadd(address.keys.workers, presence.worker)
            pipe.pexpire(address.keys.workers, left)
            pipe.execute()
    except redis.RedisError as error:
        raise address.unavailable(error) from error


def withdraw(address: RedisAddress, worker: str) -> None:
    """Be listed no longer. Raises Unavailable if Redis does not answer."""
    try:
        with address.client(timeout=3.0) as client:
            client.delete(address.keys.worker(worker))
    except redis.RedisError as error:
        raise address.unavailable(error) from error


def workers(address: RedisAddress) -> list[Presence]:
    """The workers that are there, the longest-lived first. Raises Unavailable if Redis does not
    answer."""
    try:
        with address.client(timeout=3.0) as client:
            names = _names(client, address)
            found = client.mget([address.keys.worker(name) for name in names]) if names else []
            gone = [name for name, value in zip(names, found, strict=True) if value is None]
            if gone:  # who is there after all says so again within seconds
                client.srem(address.keys.workers, *gone)
    except redis.RedisError as error:
        raise address.unavailable(error) from error
    present = [_read(value) for value in found if value is not None]
    return sorted((p for p in present if p is not None), key=lambda p: (p.since, p.worker))


def clock_offsets(address: RedisAddress) -> dict[str, float]:
    """By how many seconds the clock of each worker's host is ahead of Redis's, as far as the way
    between them lets one know. Raises Unavailable if Redis does not answer."""
    try:
        with address.client(timeout=3.0) as client:
            found: dict[str, float] = {}
            for name in _names(client, address):
                key = address.keys.worker(name)
                with client.pipeline() as pipe:
                    value, left, (seconds, micros) = pipe.get(key).pttl(key).time().execute()
                present = None if value is None else _read(value)
                if present is None or present.clock is None:
                    continue
                told = seconds + micros / 1e6 - (PRESENCE_SECONDS - left / 1000)
                ahead = present.clock.timestamp() - told
                found[present.host] = max(found.get(present.host, 0.0), ahead, key=abs)
    except redis.RedisError as error:
        raise address.unavailable(error) from error
    return found


def _names(client: redis.Redis, address: RedisAddress) -> list[str]:
    """The ids of those that told of themselves lately. Kept in a set: to look through all keys
    would take the longer, the more users there are."""
    names = client.smembers(address.keys.workers)
    return sorted(name.decode() if isinstance(name, bytes) else name for name in names)


def _read(value: bytes) -> Presence | None:
    """What a worker of this version wrote; another version's form is left out."""
    try:
        return Presence.model_validate_json(value)
    except ValidationError:
        return None
