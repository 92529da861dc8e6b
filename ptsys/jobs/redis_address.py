"""Where Redis is, in the two spellings its two clients want."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from ptsys.errors import InvalidInput, Unavailable
from ptsys.jobs.redis_keys import RedisKeys

if TYPE_CHECKING:
    import redis
    import redis.asyncio

_CONNECTIONS = 10_000  # one a waiting thread; redis-py refuses the 101st unless told otherwise
_FIX = "write redis://host:6379/0, rediss://user:password@host:6380/0 or unix:///path/to/redis.sock"


@dataclasses.dataclass(frozen=True)
class RedisAddress:
    """A Redis server: `redis://`, `rediss://` (TLS), or a Unix socket (`unix://`, also in
    Celery's spelling `redis+socket://`), and what a deployment calls its keys there. Its repr hides
    the password."""

    url: str = dataclasses.field(repr=False)
    keys: RedisKeys = RedisKeys()

    def __post_init__(self) -> None:
        """Raise InvalidInput for a URL neither client could use."""
        parts = urlsplit(self.url)
        if parts.scheme in ("redis", "rediss"):
            sound = bool(parts.hostname) and parts.path.strip("/").isdigit() | (parts.path in "/")
        else:
            sound = parts.scheme in ("unix", "redis+socket") and len(parts.path) > 1
        if not sound:
            raise InvalidInput(f"this is no address of a Redis server; {_FIX}", field="redis_url")

    @classmethod
    def socket(cls, path: Path) -> RedisAddress:
        """The server that listens on this Unix socket."""
        return cls(f"unix://{quote(str(path))}")

    @property
    def redis_url(self) -> str:
        """For redis-py."""
        if self._is_socket:
            parts = urlsplit(self.url)
            login = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
            return f"unix://{login}{parts.path}?{urlencode({'db': self._socket_db})}"
        return self.url

    @property
    def celery_url(self) -> str:
        """For Celery."""
        if self._is_socket:
            parts = urlsplit(self.url)
            login = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
            query = urlencode({"virtual_host": self._socket_db})
            return f"redis+socket://{login}{parts.path}?{query}"
        if self.url.startswith("rediss:") and "ssl_cert_reqs" not in self.url:
            # redis-py checks certificates unless told not to; kombu wants to be told
            return f"{self.url}{'&' if '?' in self.url else '?'}ssl_cert_reqs=required"
        return self.url

    @property
    def display(self) -> str:
        """The address without its password, for messages and logs."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    def __str__(self) -> str:
        return self.display

    def client(self, *, timeout: float = 5.0, **options: Any) -> redis.Redis:
        """A client of its own, thread-safe; commands give up after `timeout` seconds."""
        import redis  # a third of a second that who asks nothing of Redis need not wait

        return redis.Redis.from_url(
            self.redis_url,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            max_connections=_CONNECTIONS,
            **options,
        )

    def async_client(self) -> redis.asyncio.Redis:
        """The same for an event loop; a command may block for as long as it likes."""
        import redis.asyncio

        return redis.asyncio.Redis.from_url(
            self.redis_url, socket_timeout=None, socket_connect_timeout=5.0
        )

    def check(self) -> None:
        """Raise Unavailable, saying what to look at, unless the server answers."""
        import redis

        try:
            with self.client(timeout=3.0) as client:
                client.ping()
        except redis.RedisError as error:
            raise self.unavailable(error) from error

    def unavailable(self, error: Exception) -> Unavailable:
        """The error that tells a user that this server failed so."""
        found = Unavailable(
            f"Redis at {self.display} did not answer ({type(error).__name__}: {error}); check that "
            "it runs (`ptsys up` brings its own) and PTSYS_REDIS_URL"
        )
        found.public = "the service's queue did not answer; try again soon"
        return found

    @property
    def _is_socket(self) -> bool:
        return self.url.startswith(("unix:", "redis+socket:"))

    @property
    def _socket_db(self) -> str:
        query = parse_qs(urlsplit(self.url).query)
        return (query.get("db") or query.get("virtual_host") or ["0"])[0]
