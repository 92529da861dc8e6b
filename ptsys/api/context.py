"""What the endpoints share: the service, the way to workers, and what is known of models."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

import anyio
import anyio.to_thread
from fastapi import Depends, Request

from ptsys.api.event_feed import EventFeed
from ptsys.api.observing import Metrics
from ptsys.api.readers import Readers
from ptsys.api.recent_keys import RecentKeys
from ptsys.config import Settings
from ptsys.errors import Unavailable
from ptsys.jobs.backlog import Backlog, backlog
from ptsys.jobs.queue_places import Queues, places_of
from ptsys.jobs.redis_server import locate
from ptsys.jobs.service import Service
from ptsys.process.traces import carried
from ptsys.store.clock import utc_now
from ptsys.store.model_folders import config_path
from ptsys.store.statement_times import time_statements
from ptsys.types.records import ApiKey
from ptsys.types.storage import Quota

if TYPE_CHECKING:  # Redis and vocabularies: a command that lists jobs waits for neither
    from ptsys.api.link import Link
    from ptsys.jobs.limits import ModelLimits, ModelShape
    from ptsys.jobs.presence import Presence
    from ptsys.jobs.requests import Answer, Kind

T = TypeVar("T")

_PRESENCE_SECONDS = 1.0  # so long is it believed which workers are there
_BACKLOG_SECONDS = 10.0  # counting all jobs takes the database a moment
_MODELS = 32
_DOORS = 8  # keys that are looked up in the database at a time
_STORES = 2  # large bodies that are read and stored at a time


SMALL_BODY = 256 * 2**10
"""Bodies up to this many bytes are read in moments."""


class Context:
    """One for each application; safe for use by many threads. Connections open when first
    wanted, and follow Redis if it comes back elsewhere. `leaving` is set once this process was
    asked to end; `owner` is whose own process it is, where no key is asked for."""

    def __init__(
        self, settings: Settings, service: Service | None = None, *, owner: str | None = None
    ) -> None:
        self.settings = settings
        self.owner = None if owner is None else _owner(owner)
        self.metrics = Metrics()
        self.keys = RecentKeys()
        self.leaving = threading.Event()
        self.readers = Readers(settings)
        self._given = service
        self._link: Link | None = None
        self._lock = threading.Lock()
        self._seen: tuple[float, list[Presence]] = (0.0, [])
        self._counted: tuple[float, Backlog | None] = (0.0, None)
        self._read = functools.lru_cache(maxsize=_MODELS)(self._read_limits)

    @functools.cached_property
    def service(self) -> Service:
        """The records. Raises Unavailable if the database does not answer."""
        service = self._given or Service(self.settings)
        time_statements(service.database.engine, self.metrics.statements.observe)
        return service

    @functools.cached_property
    def feed(self) -> EventFeed:
        """The events of jobs, for those who follow them."""
        return EventFeed(lambda: self.service, self.settings.max_user_streams)

    @functools.cached_property
    def queues(self) -> Queues:
        """Who waits where."""
        return Queues(self.service)

    @functools.cached_property
    def _limiter(self) -> anyio.CapacityLimiter:
        return anyio.CapacityLimiter(self.settings.api_concurrency)

    @functools.cached_property
    def _doors(self) -> anyio.CapacityLimiter:
        return anyio.CapacityLimiter(_DOORS)

    @functools.cached_property
    def _stores(self) -> anyio.CapacityLimiter:
        return anyio.CapacityLimiter(_STORES)

    @functools.cached_property
    def _one_at_a_time(self) -> anyio.CapacityLimiter:
        return anyio.CapacityLimiter(1)

    async def caller(self, secret: str) -> ApiKey:
        """Whose key that is. Raises Unauthenticated, and Unavailable without a database."""
        known = self.keys.get(secret)
        if known is None:  # its own few threads: strangers with made-up keys hold up no one's work
            known = await anyio.to_thread.run_sync(
                lambda: self.service.keys.authenticate(secret), limiter=self._doors
            )
            self.keys.put(secret, known)
        return known

    def shape(self, model: str) -> ModelShape:
        """What that model's prompts look like. Raises InvalidInput for an unknown one."""
        from ptsys.jobs.limits import read_shape

        return read_shape(self.settings.root, model)

    def limits(self, model: str) -> ModelLimits:
        """What that model takes. Raises InvalidInput for an unknown one."""
        config = config_path(self.settings.root, model) if "\0" not in model else None
        try:
            version = None if config is None else config.stat().st_mtime_ns
        except OSError:
            version = None
        return self._read(model, version)

    def _read_limits(self, model: str, _version: int | None) -> ModelLimits:
        from ptsys.jobs.limits import read_limits

        return read_limits(self.settings.root, model)

    def present(self) -> list[Presence]:
        """The workers that are there, as of a second ago. Raises Unavailable."""
        return self._fresh() or self._look()

    def _fresh(self) -> list[Presence]:
        """What was seen within the last second; none if nobody was, or nobody looked."""
        since, found = self._seen
        return found if time.monotonic() - since <= _PRESENCE_SECONDS else []

    def _look(self) -> list[Presence]:
        from ptsys.jobs.presence import workers

        found = workers(self.link().address)
        self._seen = (time.monotonic(), found)
        return found

    def ready_models(self) -> list[str]:
        """The models that a worker serves now; none if Redis does not answer."""
        return sorted({found.model for found in self.seen() if found.ready and found.model})

    def seen(self) -> list[Presence]:
        """As `present`; nobody if Redis does not answer."""
        try:
            return self.present()
        except Unavailable:
            return []

    def backlog(self) -> Backlog:
        """What waits and runs, as of some seconds ago. Raises Unavailable."""
        since, found = self._counted
        if found is None or time.monotonic() - since > _BACKLOG_SECONDS:
            found = backlog(self.service.database)
            self._counted = (time.monotonic(), found)
        return found

    @functools.cached_property
    def quota(self) -> Quota:
        """What a user may store."""
        settings = self.settings
        return Quota(bytes=settings.max_user_bytes, objects=settings.max_user_objects)

    def places(self) -> dict[str, int]:
        """The places for jobs that workers offer, by model; none if Redis does not answer."""
        return places_of(self.seen())

    def link(self) -> Link:
        """The connections to Redis. Raises Unavailable if none is known."""
        from ptsys.api.link import Link

        address = locate(self.settings)
        with self._lock:
            if self._link is None or self._link.address != address:
                self._link = Link(address, self.settings.rows_per_minute)
            return self._link

    async def ask(
        self,
        user: str,
        model: str,
        kind: Kind,
        header: dict[str, Any],
        tensor: bytes | None,
        *,
        rows: int,
    ) -> Answer:
        """A worker's answer to a question of so many `rows`, which count against the user's quota.

        Raises QuotaExceeded, Unavailable if no worker is there or none answers in time, and
        whatever the worker finds wrong.
        """
        present = self._fresh() or await self.in_thread(self._look)
        if not any(worker.model == model for worker in present):
            raise Unavailable(f"no worker serves model {model!r} now; try again soon")
        link = self._link
        if link is None:
            link = await self.in_thread(self.link)
        if not link.quota.covers(user, rows):
            await self.in_thread(link.quota.take, user, rows)
        told = {"user": user, **({"trace": carrier} if (carrier := carried()) else {})}
        answer = await link.asker().call(
            model, kind, header | told, tensor, timeout=self.settings.request_seconds
        )
        self.metrics.rows.labels(kind, model).inc(rows)
        return answer

    async def in_thread(self, function: Callable[..., T], *arguments: Any) -> T:
        """Run what blocks for long, apart from the short work of the other endpoints."""
        return await anyio.to_thread.run_sync(function, *arguments, limiter=self._limiter)

    async def stored(self, size: int, function: Callable[..., T], *arguments: Any) -> T:
        """As `in_thread`, for what reads a body of so many bytes and keeps it: large ones take
        turns. Raises Unavailable if its turn does not come in time."""
        if size <= SMALL_BODY:
            return await self.in_thread(function, *arguments)
        try:
            with anyio.fail_after(self.settings.request_seconds):
                await self._stores.acquire()
        except TimeoutError:
            raise Unavailable("other large bodies are being stored; try again soon") from None
        try:
            return await self.in_thread(function, *arguments)
        finally:
            self._stores.release()

    async def drawn(self, function: Callable[..., T], *arguments: Any) -> T:
        """As `in_thread`, one at a time: what takes a processor for long. Raises Unavailable if
        its turn does not come in time."""
        try:
            with anyio.fail_after(self.settings.request_seconds):
                return await anyio.to_thread.run_sync(
                    function, *arguments, limiter=self._one_at_a_time
                )
        except TimeoutError:
            raise Unavailable("other maps and choices are being made; try again soon") from None

    async def aclose(self) -> None:
        """Close what this context opened."""
        if "feed" in self.__dict__:
            await self.feed.aclose()
        if self._link is not None:
            await self._link.aclose()
        await self.in_thread(self.close)

    def close(self) -> None:
        """Close what this context opened outside the event loop."""
        self.readers.close()
        with self._lock:
            link, self._link = self._link, None
        if link is not None:
            link.close()
        if self._given is None and "service" in self.__dict__:
            self.service.close()


def _owner(user: str) -> ApiKey:
    """Who asks in their own process: a key that no database knows, so it has no id."""
    return ApiKey(id="", user=user, role="admin", created=utc_now())


async def _context(request: Request) -> Context:  # async, as FastAPI gives others a thread each
    return cast(Context, request.app.state.context)


Shared = Annotated[Context, Depends(_context)]
