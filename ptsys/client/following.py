"""A job's events as they come, over as many connections as it takes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator

import httpx

from ptsys.client.connection import Connection, succeeded, value
from ptsys.client.event_stream import Message, lines, messages
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
    pauses = connection.retries.pauses()
    while True:
        reason: Exception | None = None
        wait: float | None
        try:
            with connection.stream(
                path("jobs", job, "events"),
                query={"after": after},
                headers={"Accept": "text/event-stream", "Last-Event-ID": str(after)},
                silence=_SILENCE if deadline is None else min(_SILENCE, _left(job, deadline)),
            ) as response:
                if not response.is_success:
                    response.read()
                    pause = next(pauses, None)
                    wait = None if pause is None else connection.retries.after(response, pause)
                    if wait is None:
                        succeeded(response)
                else:
                    for message in messages(_watched(lines(response.iter_bytes()), job, deadline)):
                        if message.event == "end":
                            return
                        event = _event(message)
                        if event.sequence <= after:
                            continue
                        after, pauses = event.sequence, connection.retries.pauses()
                        yield event
                    wait = next(pauses, None)  # it closed before the job's end
        except (*LOST, httpx.ReadTimeout) as error:
            reason = error
            wait = next(pauses, None)
        if deadline is not None:
            _left(job, deadline)
        if wait is None:
            raise Unavailable(
                f"the events of job {job} broke off after number {after}; the job goes on: "
                "ask for it again later"
            ) from reason
        connection.retries.sleep(wait)


def _watched(stream: Iterable[str], job: str, deadline: float | None) -> Iterator[str]:
    for line in stream:
        if deadline is not None:
            _left(job, deadline)
        yield line


def _left(job: str, deadline: float) -> float:
    """Seconds until the deadline. Raises Unavailable when it is past."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise Unavailable(f"job {job} has not ended in the time given; it goes on")
    return left


def _event(message: Message) -> Event:
    try:
        data = json.loads(message.data)
    except ValueError:
        data = None
    return value(Event, data)
