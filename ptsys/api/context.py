"""What the endpoints share: the service, the way to workers, and what is known of models."""

from __future__ import annotations

import dataclasses
import functools
import threading
import time
from collections.abc import Callable
from typing import Annotated, Any, TypeVar, cast

import anyio
import anyio.to_thread
from fastapi import Depends, Request

from ptsys.api.observing import Metrics
from ptsys.config import Settings
from ptsys.errors import Unavailable
from ptsys.jobs.limits import ModelLimits, read_limits
from ptsys.jobs.presence import Presence, workers
from ptsys.jobs.quotas import RowQuota
from ptsys.jobs.redis_address import RedisAddress
from ptsys.jobs.redis_server import locate
from ptsys.jobs.requests import Kind, RequestChannel
from ptsys.jobs.service import Service

T = TypeVar("T")

_PRESENCE_SECONDS = 1.0  # so long is it believed which workers are there
_MODELS = 32


@dataclasses.dataclass(frozen=True)
class _Link:
    address: RedisAddress
    channel: RequestChannel
    quota: RowQuota

    def close(self) -> None:
        self.channel.close()
        self.quota.close()


class Context:
    """One for each application; safe for use by many threads. Connections open when first
    wanted, and follow Redis if it comes back elsewhere."""

    def __init__(self, settings: Settings, service: Service | None = None) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self._given = service
        self._link: _Link | None = None
        self._lock = threading.Lock()
        self._seen: tuple[float, list[Presence]] = (0.0, [])
        self._read = functools.lru_cache(maxsize=_MODELS)(
            lambda name, _version: read_limits(settings.root, name)
        )

    @functools.cached_property
    def service(self) -> Service:
        """The records. Raises Unavailable if the database does not answer."""
        return self._given or Service(self.settings)

    @functools.cached_property
    def _limiter(self) -> anyio.CapacityLimiter:
        return anyio.CapacityLimiter(self.settings.api_concurrency)

    def limits(self, model: str) -> ModelLimits:
        """What that model takes. Raises InvalidInput for an unknown one."""
        config = (
            self.settings.root / "models" / model / "config.json" if "\0" not in model else None
        )
        try:
            version = None if config is None else config.stat().st_mtime_ns
        except OSError:
            version = None
        return self._read(model, version)

    def present(self) -> list[Presence]:
        """The workers that are there, as of a second ago. Raises Unavailable."""
        now = time.monotonic()
        since, found = self._seen
        if now - since > _PRESENCE_SECONDS or not found:
            found = workers(self.link().address)
            self._seen = (now, found)
        return found

    def ready_models(self) -> list[str]:
        """The models that a worker serves now; none if Redis does not answer."""
        try:
            return sorted({found.model for found in self.present() if found.ready and found.model})
        except Unavailable:
            return []

    def link(self) -> _Link:
        """The connections to Redis. Raises Unavailable if none is known."""
        address = locate(self.settings)
        with self._lock:
            if self._link is None or self._link.address != address:
                channel = RequestChannel(address)
                quota = RowQuota(address, self.settings.rows_per_minute)
                self._link = _Link(address, channel, quota)
            return self._link

    def ask(
        self, user: str, model: str, kind: Kind, header: dict[str, Any], tensor: bytes | None
    ) -> tuple[dict[str, Any], bytes | None]:
        """A worker's answer to these rows, which count against the user's quota.

        Blocks. Raises QuotaExceeded, Unavailable if no worker is there or none answers in time,
        and whatever the worker finds wrong.
        """
        if not any(worker.model == model for worker in self.present()):
            raise Unavailable(f"no worker serves model {model!r} now; try again soon")
        link = self.link()
        rows = len(header["inputs"])
        link.quota.take(user, rows)
        answer = link.channel.call(
            model, kind, header | {"user": user}, tensor, timeout=self.settings.request_seconds
        )
        self.metrics.rows.labels(kind, model).inc(rows)
        return answer

    async def in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        """Run what blocks for long, apart from the short work of the other endpoints."""
        return await anyio.to_thread.run_sync(function, *arguments, limiter=self._limiter)

    def close(self) -> None:
        """Close what this context opened."""
        with self._lock:
            link, self._link = self._link, None
        if link is not None:
            link.close()
        if self._given is None and "service" in self.__dict__:
            self.service.close()


def _context(request: Request) -> Context:
    return cast(Context, request.app.state.context)


Shared = Annotated[Context, Depends(_context)]
