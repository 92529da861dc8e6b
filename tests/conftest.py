"""What every test shares: eight CPU devices, strict broadcasting, the data beside the project."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=8")

import hypothesis
import jax
import pytest
from jaxtyping import install_import_hook
from postgres_server import NoPostgres, PostgresServer, fresh_database

PACKAGE = Path(__file__).resolve().parent.parent / "ptsys"
SHAPED = [
    ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts)
    for file in PACKAGE.rglob("*.py")
    if "jaxtyping" in file.read_text()
]
"""The modules whose signatures name shapes; none of them may be imported before this."""
install_import_hook(SHAPED, "shapes.arrays")

from ptsys.engine.compilation import keep_compilations  # noqa: E402 - after the hook

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")

COMPILED = "PTSYS_TEST_COMPILED"
"""Names the folder where all processes of a test session keep what they compiled."""
_OURS = COMPILED not in os.environ
if _OURS:
    os.environ[COMPILED] = tempfile.mkdtemp(prefix="ptsys-tests-")
keep_compilations(Path(os.environ[COMPILED]))

hypothesis.settings.register_profile("house", deadline=None)  # no test is about time
hypothesis.settings.load_profile("house")

REPOSITORY = Path(__file__).resolve().parent.parent

MOST_MAPS = 20_000  # of the 65,530 that Linux lets a process have


def pytest_unconfigure(config: pytest.Config) -> None:
    """The folder goes with the process that made it, which outlives those that share it."""
    if _OURS:
        shutil.rmtree(os.environ[COMPILED], ignore_errors=True)


@pytest.fixture(scope="module", autouse=True)
def _compiled_programs_end_in_time() -> Iterator[None]:
    """Thousands of them in one process exhaust its memory maps, and XLA's compiler then crashes."""
    yield
    if _memory_maps() > MOST_MAPS:
        jax.clear_caches()


def _memory_maps() -> int:
    """Of this process; where nobody tells, too many."""
    try:
        return Path("/proc/self/maps").read_bytes().count(b"\n")
    except OSError:
        return MOST_MAPS + 1


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The data kept beside the project, which is never committed to it."""
    folder = Path(os.environ.get("PTSYS_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no test data at {folder}; set PTSYS_TEST_DATA to where it is")
    return folder


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny random model, and the compiled programs that all processes share."""
    import tiny_model

    folder = tmp_path_factory.mktemp("template")
    tiny_model.write_tiny_model(folder)
    (folder / "compilations").symlink_to(os.environ[COMPILED])
    return folder


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a PostgreSQL where databases may be made: the one that is named, or our own."""
    named = os.environ.get("PTSYS_TEST_POSTGRES_URL")
    if named:
        yield named
        return
    try:
        server = PostgresServer()
    except NoPostgres as error:
        if "postgres" in os.environ.get("PTSYS_TEST_REQUIRES", "").split(","):
            raise
        pytest.skip(str(error))
    try:
        yield server.start().url()
    finally:
        server.remove()


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """A fresh PostgreSQL database."""
    with fresh_database(postgres_server) as url:
        yield url
