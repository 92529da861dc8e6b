"""A tiny model made once, deployments of it, and the prompts that undisturbed jobs make."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny_model
from undisturbed import COMPANY, LONG, Undisturbed
from worker_deployment import Deployment


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the model, and the compilation cache that all workers share."""
    folder = tmp_path_factory.mktemp("template")
    tiny_model.write_tiny_model(folder)
    (folder / "compilations").mkdir()
    return folder


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


@pytest.fixture
def deploy(template: Path, tmp_path: Path) -> Iterator[Callable[..., Deployment]]:
    """Makes deployments of this test's own."""
    made: list[Deployment] = []

    def make(**settings: Any) -> Deployment:
        made.append(Deployment(template, tmp_path / f"data-{len(made)}", **settings))
        return made[-1]

    yield make
    for deployment in made:
        deployment.close()


@pytest.fixture(scope="module")
def served(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A deployment with one ready worker, shared by the tests of a module."""
    deployment = Deployment(template, tmp_path_factory.mktemp("served") / "data")
    try:
        deployment.start_worker().ready()
        yield deployment
    finally:
        deployment.close()
