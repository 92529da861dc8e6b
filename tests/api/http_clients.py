"""A client in this process of the real application, and what tests do with it."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import tiny_model

from ptsys.prompts.safetensors_format import encode

SAFETENSORS = "application/x-safetensors"
JSONL = "application/x-ndjson"
MODEL = tiny_model.NAME
WIDTH = tiny_model.D_MODEL
ROWS = b'{"input": "red river stone", "target": "red"}\n{"input": "cold table", "target": "blue"}\n'


def asgi_scope(method: str, path: str, headers: dict[str, str]) -> dict[str, Any]:
    """What a server hands an application for one request, for tests that leave in the middle."""
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }


class InProcess(httpx.BaseTransport):
    """Requests of a blocking client, carried to an application without sockets."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._transport = httpx.ASGITransport(app=app, raise_app_exceptions=True)
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        return asyncio.run_coroutine_threadsafe(self._answer(request), self._loop).result(240)

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        answer = await self._transport.handle_async_request(request)
        body = b"".join([part async for part in answer.stream])  # type: ignore[union-attr]
        return httpx.Response(answer.status_code, headers=answer.headers, content=body)

    def close(self) -> None:
        closing = self._app.state.context.aclose()
        asyncio.run_coroutine_threadsafe(closing, self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)


Connect = Callable[..., httpx.Client]


def upload(client: httpx.Client, name: str, array: np.ndarray, **params: Any) -> httpx.Response:
    return client.post(
        "/v1/prompts",
        params={"name": name, "model": MODEL, **params},
        content=encode(array),
        headers={"Content-Type": SAFETENSORS},
    )


def add_rows(client: httpx.Client, name: str, rows: bytes = ROWS, **params: Any) -> httpx.Response:
    return client.post(
        "/v1/datasets",
        params={"name": name, **params},
        content=rows,
        headers={"Content-Type": JSONL},
    )


def refused(response: httpx.Response, status: int, field: str | None = None) -> dict[str, Any]:
    """The problem that the response tells, once it is known to be one of that status."""
    assert response.status_code == status, response.text[:500]
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert problem["status"] == status
    assert problem["type"].startswith("urn:ptsys:problem:")
    assert problem["request_id"] == response.headers["x-request-id"]
    if field is not None:
        assert problem["field"] == field, problem
        assert problem["errors"][0]["field"] == field
    return problem
