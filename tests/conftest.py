"""What every test shares: eight CPU devices, strict broadcasting, the data beside the project."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=8")

import jax
import pytest
import sqlalchemy

jax.config.update("jax_numpy_rank_promotion", "raise")

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


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """A fresh PostgreSQL database, if there is a server for it."""
    server = os.environ.get("PTSYS_TEST_POSTGRES_URL")
    if not server:
        pytest.skip("set PTSYS_TEST_POSTGRES_URL to a server where databases may be made")
    name = f"ptsys_test_{uuid.uuid4().hex}"
    admin = sqlalchemy.make_url(server).set(drivername="postgresql+psycopg")
    engine = sqlalchemy.create_engine(admin, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(f"CREATE DATABASE {name}"))
    yield admin.set(database=name).render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()
