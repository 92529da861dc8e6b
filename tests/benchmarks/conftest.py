"""What the drill's tests share: a nursery, a tiny model, and what its jobs make undisturbed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.drill.nursery import Nursery
from benchmarks.drill.reference import Reference, make_reference


@pytest.fixture(scope="session")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    nursery = Nursery(tmp_path_factory.mktemp("nursery") / "log")
    yield nursery
    nursery.close()


@pytest.fixture(scope="session")
def reference(
    tmp_path_factory: pytest.TempPathFactory, template: Path, nursery: Nursery
) -> Reference:
    return make_reference(tmp_path_factory.mktemp("reference"), template, nursery)
