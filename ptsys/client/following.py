"""A job's events as they come, over as many connections as it takes."""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Generator, Iterable, Iterator

import httpx

from ptsys.client.connection import Connection, value
from ptsys.client.event_stream import Message, lines, messages
from ptsys.client.problems import error_of
from ptsys.client.references import path
from ptsys.client.retries import LOST
from ptsys.errors import Unavailable
from ptsys.types.records import Event

_SILENCE = 45.0  # seconds without a byte after which a stream is dead; it is kept alive every 15


def follow(
    connection: Connection, job: str, *, after: int = 0, timeout: float | None = None
) -> Iterator[Event]:
    """The events numbered above `after`, until the job's last; each comes once, in order.

    A stream that breaks is opened again behind the last event seen. Raises NotFound, or
    Unavailable when the time (seconds) is over or the service stays away.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    return _Follower(connection, job, after, deadline).events()


class _Follower:
    def __init__(
        self, connection: Connection, job: str, after: int, deadline: float | None
    ) -> None:
        self._connection = connection
        self._job = job
        self._after = after
        self._deadline = deadline
        self._pauses = connection.retries.pauses()

    def events(self) -> Iterator[Event]:
        while True:
            reason: Exception | None = None
            wait: float | None
            try:
                with self._opened() as response:
                    if not response.is_success:
                        wait = self._refused(response)
                    elif (yield from self._read(response)):
                        return
                    else:
                        wait = next(self._pauses, None)  # it closed before the job's end
            except (*LOST, httpx.ReadTimeout) as error:
                reason, wait = error, next(self._pauses, None)
            self._left()
            if wait is None:
                raise Unavailable(
                    f"the events of job {self._job} broke off after number {self._after}; the "
                    "job goes on: ask for it again later"
                ) from reason
            self._connection.retries.sleep(wait)

    def _opened(self) -> contextlib.AbstractContextManager[httpx.Response]:
        return self._connection.stream(
            path("jobs", self._job, "events"),
            query={"after": self._after},
            headers={"Accept": "text/event-stream", "Last-Event-ID": str(self._after)},
            silence=min(_SILENCE, self._left()),
        )

    def _refused(self, response: httpx.Response) -> float:
        """The pause before another attempt. Raises what the answer tells if there is none."""
        response.read()
        pause = next(self._pauses, None)
        wait = None if pause is None else self._connection.retries.after(response, pause)
        if wait is None:
            raise error_of(response)
        return wait

    def _read(self, response: httpx.Response) -> Generator[Event, None, bool]:
        """The new events of one stream; True if the job's end was among them."""
        for message in messages(self._alive(lines(response.iter_bytes()))):
            if message.event == "end":
                return True
            event = _event(message)
            if event.sequence > self._after:
                self._after = event.sequence
                yield event
        return False

    def _alive(self, stream: Iterable[str]) -> Iterator[str]:
        """The lines. Events and signs of life begin the count of failed attempts anew."""
        for line in stream:
            self._left()
            if line.startswith((":", "data")):
                self._pauses = self._connection.retries.pauses()
            yield line

    def _left(self) -> float:
        """Seconds until the deadline. Raises Unavailable when it is past."""
        left = math.inf if self._deadline is None else self._deadline - time.monotonic()
        if left <= 0:
            raise Unavailable(f"job {self._job} has not ended in the time given; it goes on")
        return left


def _event(message: Message) -> Event:
    try:
        data = json.loads(message.data)
    except ValueError:
        data = None
    return value(Event, data)
