"""How many rows a user may send: a bucket in Redis that fills again by the minute."""

from __future__ import annotations

import math
import threading

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


_PORTION = 200  # a process takes this part of a minute's rows in advance
_KEPT_USERS = 10_000


class RowQuota:
    """At most so many rows a minute for each user, counted by all API processes together.

    Each process takes a small portion in advance, so that most requests need no round trip; what
    it holds when it ends is lost to the user until the bucket fills again.
    """

    def __init__(self, address: RedisAddress, per_minute: int) -> None:
        """Connects lazily."""
        self._held: dict[str, int] = {}
        self._lock = threading.Lock()
        self._address = address
        self._per_minute = per_minute
        self._redis = address.client(timeout=5.0)
        self._take = self._redis.register_script(_TAKE)

    def covers(self, user: str, rows: int) -> bool:
        """Count these rows if what was taken in advance covers them; never blocks."""
        with self._lock:
            held = self._held.get(user, 0)
            if held < rows:
                return False
            self._held[user] = held - rows
            return True

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
        advance = self._per_minute // _PORTION
        if not self._ask(user, rows + advance):
            with self._lock:
                if len(self._held) >= _KEPT_USERS:
                    self._held.clear()
                self._held[user] = self._held.get(user, 0) + advance
            return
        wait = self._ask(user, rows)
        if wait:
            seconds = math.ceil(wait / 1000)
            raise QuotaExceeded(
                f"you may send {self._per_minute} rows a minute; send these {rows} again in "
                f"{seconds} s",
                retry_after=seconds,
            )

    def _ask(self, user: str, rows: int) -> int:
        """Take rows from the bucket: 0, or in how many milliseconds there will be enough."""
        try:
            return int(
                self._take(keys=[self._address.keys.rows(user)], args=[self._per_minute, rows])
            )
        except redis.RedisError as error:
            raise self._address.unavailable(error) from error

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()
