"""The real application in process, on a real database, Redis and, where asked for, worker."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from http_clients import MODEL, WIDTH, Connect, InProcess
from postgres_server import fresh_database
from worker_deployment import Deployment

from ptsys.api.app import create_app
from ptsys.types.records import Role

ON_BOTH_DATABASES = {
    "test_browsers",
    "test_http_datasets",
    "test_http_jobs",
    "test_http_keys",
    "test_http_library",
    "test_http_prompts",
    "test_http_search",
}
"""What lives by its records. The others ask workers, or fail before any record is read."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "deployment" in metafunc.fixturenames:
        both = metafunc.module.__name__ in ON_BOTH_DATABASES
        names = ["sqlite", "postgres"] if both else ["sqlite"]
        metafunc.parametrize("deployment", names, indirect=True, scope="session")


@pytest.fixture(scope="session")
def deployment(
    request: pytest.FixtureRequest, template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """Redis, database and the model; no worker yet."""
    with contextlib.ExitStack() as stack:
        changes = {}
        if request.param == "postgres":
            server = request.getfixturevalue("postgres_server")
            changes["database_url"] = stack.enter_context(fresh_database(server))
        deployment = Deployment(template, tmp_path_factory.mktemp("api") / "data", **changes)
        stack.callback(deployment.close)
        yield deployment


@pytest.fixture(scope="module")
def worker(deployment: Deployment) -> Iterator[Deployment]:
    """The same deployment while a worker process is ready: until the module ends, as tests of
    other modules count on jobs that wait."""
    process = deployment.start_worker().ready()
    yield deployment
    process.terminate()


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
