"""`client.select`: how it is asked, and its answer followed while rows are read."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx

from ptsys.client.connection import Connection, value
from ptsys.client.event_stream import lines, messages
from ptsys.client.problems import error_of
from ptsys.client.retries import LOST
from ptsys.errors import Unavailable
from ptsys.types.selection import Selection

PATH = "/v1/select"


def select(
    connection: Connection, body: dict[str, Any], progress: Callable[[int], object]
) -> Selection:
    """What is chosen; `progress` is called with the number of rows that were read more. A stream
    that breaks is asked for again from the start: nothing is kept of it. Raises what the service
    finds wrong, Unavailable if it stays away."""
    pauses = connection.retries.pauses()
    tell = _Further(progress)
    while True:
        pause = next(pauses, None)
        try:
            with connection.stream(
                PATH, query={}, headers={"Accept": "text/event-stream"}, json=body
            ) as response:
                if response.is_success:
                    return _read(response, tell)
                response.read()
                wait = None if pause is None else connection.retries.after(response, pause)
                if wait is None:
                    raise error_of(response)
        except LOST as error:
            if pause is None:
                raise Unavailable(f"{connection.url} broke off ({error}); ask again") from error
            wait = pause
        except httpx.HTTPError as error:
            raise Unavailable(f"{connection.url} did not answer in time ({error})") from error
        connection.retries.sleep(wait)


class _Further:
    """Tells how many rows are read more, though a stream begins again."""

    def __init__(self, progress: Callable[[int], object]) -> None:
        self._progress = progress
        self._done = 0

    def __call__(self, done: int) -> None:
        if done > self._done:
            self._progress(done - self._done)
            self._done = done


def _read(response: httpx.Response, tell: Callable[[int], None]) -> Selection:
    for message in messages(lines(response.iter_bytes())):
        try:
            data = json.loads(message.data)
        except ValueError:
            break
        if message.event == "progress":
            tell(int(data["done"]))
        elif message.event == "problem":
            raise error_of(httpx.Response(data["status"], json=data, request=response.request))
        elif message.event == "selection":
            return value(Selection, data)
    raise httpx.RemoteProtocolError("the stream ended before anything was chosen")
