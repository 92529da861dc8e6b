"""The real application, reached in process by a client that knows no event loop."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import httpx


class AsgiTransport(httpx.BaseTransport):
    """Runs an ASGI application on a loop in a thread of its own; answers come whole."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._asgi = httpx.ASGITransport(app=app)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return asyncio.run_coroutine_threadsafe(self._answer(request), self._loop).result(60)

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        response = await self._asgi.handle_async_request(request)
        content = b"".join([part async for part in response.stream])  # type: ignore[union-attr]
        return httpx.Response(response.status_code, headers=response.headers, content=content)

    def stop(self) -> None:
        closing = self._app.state.context.aclose()
        asyncio.run_coroutine_threadsafe(closing, self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


class Lossy(httpx.BaseTransport):
    """Delivers every request, and loses the answers that `lost` picks: the worst moment for a
    connection to break, since the service has done what was asked."""

    def __init__(self, inner: httpx.BaseTransport, lost: Callable[[int], bool]) -> None:
        self._inner = inner
        self._lost = lost
        self.requests = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        response = self._inner.handle_request(request)
        if self._lost(self.requests):
            raise httpx.ReadError("the connection broke")
        return response
