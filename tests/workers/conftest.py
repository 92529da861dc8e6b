"""A tiny model made once, deployments of it, and the prompts that undisturbed jobs make."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from postgres_server import fresh_database
from undisturbed import COMPANY, LONG, Undisturbed
from waiting import until
from worker_deployment import Deployment, free_port

from ptsys.api.app import create_app
from ptsys.client import Client
from ptsys.store.keys import ApiKeys


@pytest.fixture(scope="session")
def undisturbed(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    deployment = Deployment(template, tmp_path_factory.mktemp("undisturbed") / "data")
    try:
        deployment.start_worker().ready()
        long = deployment.tensor(deployment.wait(deployment.submit("long", **LONG)))
        company = {
            owner: deployment.tensor(deployment.wait(deployment.submit("alone", owner, **spec)))
            for owner, spec in COMPANY.items()
        }
    finally:
        deployment.close()
    return Undisturbed(long, company)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The databases a test runs on: those its mark `databases` names, SQLite without one."""
    if "new_database" in metafunc.fixturenames:
        mark = metafunc.definition.get_closest_marker("databases")
        names = ("sqlite",) if mark is None else mark.args
        metafunc.parametrize("new_database", names, indirect=True, scope="module")


@pytest.fixture(scope="module")
def new_database(request: pytest.FixtureRequest) -> Iterator[Callable[[], str | None]]:
    """Gives the URL of a database that is a deployment's own; None is SQLite under its root."""
    if request.param == "sqlite":
        yield lambda: None
        return
    server = request.getfixturevalue("postgres_server")
    with contextlib.ExitStack() as stack:
        yield lambda: stack.enter_context(fresh_database(server))


@pytest.fixture
def deploy(
    template: Path, tmp_path: Path, new_database: Callable[[], str | None]
) -> Iterator[Callable[..., Deployment]]:
    """Makes deployments of this test's own."""
    made: list[Deployment] = []

    def make(**settings: Any) -> Deployment:
        url = new_database()
        own = settings if url is None else {"database_url": url, **settings}
        made.append(Deployment(template, tmp_path / f"data-{len(made)}", **own))
        return made[-1]

    yield make
    for deployment in made:
        deployment.close()


@pytest.fixture(scope="module")
def worker_port() -> int:
    """Where the worker of `served` tells its metrics."""
    return free_port()


@pytest.fixture(scope="module")
def served(
    template: Path,
    tmp_path_factory: pytest.TempPathFactory,
    new_database: Callable[[], str | None],
    worker_port: int,
) -> Iterator[Deployment]:
    """A deployment with one ready worker, shared by the tests of a module."""
    url = new_database()
    changes = {} if url is None else {"database_url": url}
    deployment = Deployment(template, tmp_path_factory.mktemp("served") / "data", **changes)
    try:
        deployment.start_worker(worker_port=worker_port).ready()
        yield deployment
    finally:
        deployment.close()


@pytest.fixture(scope="module")
def address(served: Deployment) -> Iterator[str]:
    """The application on a loopback port."""
    app = create_app(served.settings, served.service)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    until(lambda: server.started, 30)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(30)
    app.state.context.close()


@pytest.fixture(scope="module")
def ann(served: Deployment, address: str) -> Iterator[Client]:
    _, secret = ApiKeys(served.service.database).create("ann")
    with Client(address, secret) as client:
        yield client
