"""The real application in process, on a real database, Redis and, where asked for, worker."""

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[1] / "workers"))

import tiny_model
from worker_deployment import Deployment

from ptsys.api.app import create_app
from ptsys.prompts.safetensors_format import encode
from ptsys.types.records import Role

SAFETENSORS = "application/x-safetensors"
JSONL = "application/x-ndjson"
MODEL = tiny_model.NAME
WIDTH = tiny_model.D_MODEL
ROWS = b'{"input": "red river stone", "target": "red"}\n{"input": "cold table", "target": "blue"}\n'


class InProcess(httpx.BaseTransport):
    """Requests of a blocking client, carried to an application without sockets."""

    def __init__(self, app: Any) -> None:
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
        self._loop.call_soon_threadsafe(self._loop.stop)


Connect = Callable[..., httpx.Client]


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Redis, database and a tiny random model; no worker yet."""
    template = tmp_path_factory.mktemp("template")
    tiny_model.write_tiny_model(template)
    (template / "compilations").mkdir()
    deployment = Deployment(template, tmp_path_factory.mktemp("api") / "data")
    yield deployment
    deployment.close()


@pytest.fixture(scope="session")
def worker(deployment: Deployment) -> Deployment:
    """The same deployment, once a worker process is ready."""
    deployment.start_worker().ready()
    return deployment


@pytest.fixture
def connect(deployment: Deployment) -> Iterator[Connect]:
    """Clients of users on an application; settings may be changed for it."""
    opened: list[Any] = []

    def make(user: str = "ann", *, role: Role = "user", **changes: Any) -> httpx.Client:
        settings = deployment.settings.model_copy(update={"model": MODEL, **changes})
        app = create_app(settings)
        _, secret = deployment.service.keys.create(user, role=role)
        client = httpx.Client(
            transport=InProcess(app),
            base_url="http://ptsys",
            headers={"Authorization": f"Bearer {secret}"},
        )
        opened.extend([client, app.state.context])
        return client

    yield make
    for thing in opened:
        thing.close()


@pytest.fixture
def ann(connect: Connect) -> httpx.Client:
    return connect("ann")


@pytest.fixture
def bob(connect: Connect) -> httpx.Client:
    return connect("bob")


@pytest.fixture
def prompt() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(6, WIDTH)).astype(np.float32)


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
