"""What happens to watched jobs: one poller looks for all who listen, however many there are."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable, Iterator

import anyio.to_thread
from sqlalchemy import select

from ptsys.errors import QuotaExceeded, Unavailable
from ptsys.jobs.service import Service
from ptsys.store.tables import ApiKeyRow, JobRow
from ptsys.types.records import ApiKey, Event, JobState

logger = logging.getLogger(__name__)

_FIRST_PAUSE, _LAST_PAUSE = 0.05, 0.5  # seconds between two looks at the database
_KEYS_SECONDS = 1.0  # so long at most a stream goes on after its key was revoked
_TAIL = 500  # events of a job kept for those who listen
_AT_ONCE = 500  # ids in one query
_FULL_RETRY_SECONDS = 10.0


@dataclasses.dataclass
class _Watched:
    """A job that somebody listens to; `tail` are its last events, up to number `sequence`."""

    sequence: int = -1
    state: JobState | None = None
    tail: collections.deque[Event] = dataclasses.field(
        default_factory=lambda: collections.deque(maxlen=_TAIL)
    )
    changed: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)
    listeners: int = 0

    def tell(self) -> None:
        """Wake those who listen."""
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()


class Listener:
    """One stream's ear at a job."""

    def __init__(self, watched: _Watched, job: str, key: ApiKey) -> None:
        self._watched = watched
        self.job = job
        self.key = key
        self.revoked = False

    async def wait(self, after: int, seconds: float) -> bool:
        """Wait until there are events above number `after`, or the job has ended or the key was
        revoked; False if nothing of that came within so many seconds."""
        watched, deadline = self._watched, time.monotonic() + seconds
        while not (self.revoked or self._news(after)):
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(watched.changed.wait(), left)
        return True

    def told(self, after: int) -> tuple[JobState, list[Event]] | None:
        """The job's state and all its events above number `after`; None where they are not known
        here, as for one who listens since just now."""
        watched = self._watched
        if watched.state is None or watched.sequence < after:
            return None
        if watched.sequence == after:
            return watched.state, []
        if not watched.tail or watched.tail[0].sequence > after + 1:
            return None
        return watched.state, [event for event in watched.tail if event.sequence > after]

    def _news(self, after: int) -> bool:
        state = self._watched.state
        return state is not None and (self._watched.sequence > after or state.final)


class EventFeed:
    """All who listen in this process, and the one task that looks for them. Everything but its
    looks at the database runs on one event loop."""

    def __init__(self, service: Callable[[], Service], most_a_user: int) -> None:
        self._service = service
        self._most = most_a_user
        self._jobs: dict[str, _Watched] = {}
        self._listeners: set[Listener] = set()
        self._users: collections.Counter[str] = collections.Counter()
        self._poller: asyncio.Task[None] | None = None
        self.looks = 0

    @contextlib.contextmanager
    def listening(self, job: str, key: ApiKey) -> Iterator[Listener]:
        """Listen to a job. Raises QuotaExceeded if the user listens to too many at once."""
        if self._users[key.user] >= self._most:
            raise QuotaExceeded(
                f"you have {self._most} event streams open, the most allowed; close one",
                retry_after=_FULL_RETRY_SECONDS,
            )
        watched = self._jobs.setdefault(job, _Watched())
        listener = Listener(watched, job, key)
        self._listeners.add(listener)
        self._users[key.user] += 1
        watched.listeners += 1
        if self._poller is None or self._poller.done():
            self._poller = asyncio.get_running_loop().create_task(self._poll())
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
            self._users[key.user] -= 1
            if not self._users[key.user]:
                del self._users[key.user]
            watched.listeners -= 1
            if not watched.listeners:
                self._jobs.pop(job, None)

    async def aclose(self) -> None:
        """Look no more."""
        if self._poller is not None:
            self._poller.cancel()
            await asyncio.gather(self._poller, return_exceptions=True)

    async def _poll(self) -> None:
        pause, keys_seen = _FIRST_PAUSE, time.monotonic()
        while self._listeners:
            try:
                pause = _FIRST_PAUSE if await self._look() else min(pause * 1.5, _LAST_PAUSE)
                if time.monotonic() - keys_seen >= _KEYS_SECONDS:
                    keys_seen = time.monotonic()
                    await self._look_at_keys()
            except Unavailable as error:
                logger.warning("the events of jobs cannot be looked for: %s", error)
                pause = _LAST_PAUSE
            await asyncio.sleep(pause)

    async def _look(self) -> bool:
        """Learn what changed; True if something did."""
        known = {job: watched.sequence for job, watched in self._jobs.items()}
        self.looks += 1
        found = await anyio.to_thread.run_sync(self._read, known)
        for job, (sequence, state, events) in found.items():
            watched = self._jobs.get(job)
            if watched is None:
                continue
            if watched.tail and events and events[0].sequence != watched.tail[-1].sequence + 1:
                watched.tail.clear()
            watched.tail.extend(events)
            watched.sequence, watched.state = sequence, state
            watched.tell()
        return bool(found)

    def _read(self, known: dict[str, int]) -> dict[str, tuple[int, JobState, list[Event]]]:
        """The jobs that came further than is known: how far, their state and their new events."""
        service = self._service()
        found: dict[str, tuple[int, JobState, list[Event]]] = {}
        ids = list(known)
        for start in range(0, len(ids), _AT_ONCE):
            query = select(JobRow.id, JobRow.sequence, JobRow.state)
            with service.database.reading() as session:
                rows = session.execute(query.where(JobRow.id.in_(ids[start : start + _AT_ONCE])))
                changed = [row for row in rows if row.sequence != known[row.id]]
            for row in changed:
                events: list[Event] = []
                if known[row.id] >= 0 and row.sequence - known[row.id] <= _TAIL:
                    page = service.events(row.id, None, after=known[row.id], limit=_TAIL)
                    events = [event for event in page if event.sequence <= row.sequence]
                found[row.id] = (row.sequence, JobState(row.state), events)
        return found

    async def _look_at_keys(self) -> None:
        """Send those away whose keys were revoked."""
        keys = {listener.key.id for listener in self._listeners if listener.key.id}
        valid = await anyio.to_thread.run_sync(self._valid, keys)
        for listener in list(self._listeners):
            if listener.key.id in keys and listener.key.id not in valid:
                listener.revoked = True
                watched = self._jobs.get(listener.job)
                if watched is not None:
                    watched.tell()

    def _valid(self, keys: set[str]) -> set[str]:
        query = select(ApiKeyRow.id).where(ApiKeyRow.revoked.is_(None))
        valid: set[str] = set()
        ids = sorted(keys)
        with self._service().database.reading() as session:
            for start in range(0, len(ids), _AT_ONCE):
                part = ApiKeyRow.id.in_(ids[start : start + _AT_ONCE])
                valid.update(session.scalars(query.where(part)))
        return valid
