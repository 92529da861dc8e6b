"""The data folders that earlier commits left, as this one finds them."""

import tarfile
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

from ptsys.config import Settings
from ptsys.engine.engine import Engine
from ptsys.engine.serving import Serving
from ptsys.engine.workbench import Workbench, load_workbench
from ptsys.jobs.service import Service

FOLDERS = sorted(Path(__file__).parent.glob("*.tar.xz"))
MODEL = "mini"


@pytest.fixture(scope="module", params=FOLDERS, ids=[path.name for path in FOLDERS])
def root(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("earlier")
    with tarfile.open(request.param) as archive:
        archive.extractall(folder, filter="data")
    return folder / "data"


@pytest.fixture(scope="module")
def service(root: Path) -> Iterator[Service]:
    service = Service(Settings(data_dir=root, redis_url=None))
    yield service
    service.close()


@pytest.fixture(scope="module")
def bench(root: Path) -> Workbench:
    return load_workbench(root, MODEL, Serving().mesh(jax.local_devices()[:1]))


@pytest.fixture(scope="module")
def engine(bench: Workbench) -> Iterator[Engine]:
    engine = Engine(bench.served).start()
    yield engine
    engine.close()
