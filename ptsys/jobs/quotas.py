"""How many rows a user may send: a bucket in Redis that fills again by the minute."""

from __future__ import annotations

import math

import redis

from ptsys.errors import InvalidInput, QuotaExceeded
from ptsys.jobs.redis_address import RedisAddress

# KEYS: the user's bucket; ARGV: what it holds when full, rows. Takes the rows and returns 0, or
# takes nothing and returns in how many milliseconds there will be enough.
_TAKE = """
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1e6
local size = tonumber(ARGV[1])
local rows = tonumber(ARGV[2])
local kept = redis.call('HMGET', KEYS[1], 'level', 'at')
local level = tonumber(kept[1]) or size
local since = math.max(0, now - (tonumber(kept[2]) or now))
level = math.min(size, level + since * size / 60)
local wait = 0
if level >= rows then level = level - rows
else wait = math.ceil((rows - level) * 60000 / size) end
redis.call('HSET', KEYS[1], 'level', tostring(level), 'at', string.format('%.6f', now))
redis.call('EXPIRE', KEYS[1], 120)
return wait
"""


class RowQuota:
    """At most so many rows a minute for each user, counted by all API processes together."""

    def __init__(self, address: RedisAddress, per_minute: int) -> None:
        """Connects lazily."""
        self._address = address
        self._per_minute = per_minute
        self._redis = address.client(timeout=5.0)
        self._take = self._redis.register_script(_TAKE)

    def take(self, user: str, rows: int) -> None:
        """Count these rows.

        Raises QuotaExceeded if the user must wait first, InvalidInput for more than a minute's
        rows at once, Unavailable if Redis does not answer.
        """
        if rows > self._per_minute:
            raise InvalidInput(
                f"{rows} rows at once are more than your {self._per_minute} a minute; send fewer",
                field="inputs",
            )
        try:
            wait = int(self._take(keys=[f"ptsys:rows:{user}"], args=[self._per_minute, rows]))
        except redis.RedisError as error:
            raise self._address.unavailable(error) from error
        if wait:
            seconds = math.ceil(wait / 1000)
            raise QuotaExceeded(
                f"you may send {self._per_minute} rows a minute; send these {rows} again in "
                f"{seconds} s",
                retry_after=seconds,
            )

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()
