"""An application in this process, reached as if over a network, but without sockets."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any

import httpx

Application = Callable[
    [
        MutableMapping[str, Any],
        Callable[[], Awaitable[MutableMapping[str, Any]]],
        Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ],
    Awaitable[None],
]
"""As ASGI has it."""

_CLOSING_SECONDS = 10.0


class InProcess(httpx.BaseTransport):
    """Runs an ASGI application on an event loop in a thread of its own. Answers come piece by
    piece, so that streams of events can be followed. May be shared between threads."""

    def __init__(
        self, app: Application, closing: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """`closing` is awaited on the loop before it ends: what the application opened there."""
        self._app = app
        self._closing = closing
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="application", daemon=True
        )
        self._thread.start()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Hand the request over; returns as soon as the answer begins. Raises httpx.ReadTimeout."""
        patience = request.extensions.get("timeout", {}).get("read")
        body = request.read()
        exchange = _Exchange(self._loop, patience)
        exchange.begin(self._app, _scope(request, body), body)
        try:
            start = exchange.next()
        except BaseException:  # Ctrl-C among them
            exchange.close()
            raise
        return httpx.Response(start["status"], headers=start["headers"], stream=exchange)

    def close(self) -> None:
        """End the loop, once what the application opened on it is closed."""
        if self._loop.is_closed():
            return
        with contextlib.suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(_CLOSING_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_CLOSING_SECONDS)
        if not self._thread.is_alive():
            self._loop.close()

    async def _end(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        if self._closing is not None:
            await self._closing()


class _Exchange(httpx.SyncByteStream):
    """One request and its answer, which is this stream."""

    def __init__(self, loop: asyncio.AbstractEventLoop, patience: float | None) -> None:
        self._loop = loop
        self._patience = patience
        self._pieces: queue.SimpleQueue[MutableMapping[str, Any] | None] = queue.SimpleQueue()
        self._left = asyncio.Event()
        self._running: Any = None
        self._ended = False

    def begin(self, app: Application, scope: dict[str, Any], body: bytes) -> None:
        self._running = asyncio.run_coroutine_threadsafe(self._run(app, scope, body), self._loop)

    def next(self) -> MutableMapping[str, Any]:
        """The next message of the application."""
        try:
            message = self._pieces.get(timeout=self._patience)
        except queue.Empty:
            raise httpx.ReadTimeout("the application did not answer in time") from None
        if message is None:
            self._ended = True
            self._running.result()  # what went wrong
            raise httpx.RemoteProtocolError("the application broke its answer off")
        return message

    def __iter__(self) -> Iterator[bytes]:
        while not self._ended:
            message = self.next()
            self._ended = not message.get("more_body", False)
            if message.get("body"):
                yield message["body"]

    def close(self) -> None:
        """The reader wants no more of it."""
        if not self._running.done():
            self._loop.call_soon_threadsafe(self._left.set)

    async def _run(self, app: Application, scope: dict[str, Any], body: bytes) -> None:
        told = False

        async def receive() -> MutableMapping[str, Any]:
            nonlocal told
            if told:
                await self._left.wait()
                return {"type": "http.disconnect"}
            told = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            if self._left.is_set():
                raise OSError("the reader has left")
            self._pieces.put(message)

        try:
            await app(scope, receive, send)
        finally:
            self._pieces.put(None)


def _scope(request: httpx.Request, body: bytes) -> dict[str, Any]:
    """What a server hands an application; nothing is to be compressed on the way to nowhere."""
    skipped = (b"accept-encoding", b"transfer-encoding")
    headers = [(name.lower(), value) for name, value in request.headers.raw]
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "headers": [(name, value) for name, value in headers if name not in skipped],
        "scheme": request.url.scheme,
        "path": request.url.path,
        "raw_path": request.url.raw_path.split(b"?")[0],
        "query_string": request.url.query,
        "server": (request.url.host, request.url.port),
        "client": ("127.0.0.1", 0),
        "root_path": "",
    }
