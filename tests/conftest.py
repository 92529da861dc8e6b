"""What every test shares: eight CPU devices, strict broadcasting, the data beside the project."""

import os
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

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")

hypothesis.settings.register_profile("house", deadline=None)  # no test is about time
hypothesis.settings.load_profile("house")

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module", autouse=True)
def _compiled_programs_end_with_their_module() -> Iterator[None]:
    """Thousands of them in one process exhaust its memory maps, and XLA's compiler then crashes."""
    yield
    jax.clear_caches()


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
    """A folder with a tiny random model, and the compilation cache that all workers share."""
    import tiny_model

    folder = tmp_path_factory.mktemp("template")
    tiny_model.write_tiny_model(folder)
    (folder / "compilations").mkdir()
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
