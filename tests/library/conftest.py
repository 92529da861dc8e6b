"""A library on a fresh database: SQLite, and PostgreSQL if there is one to use."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy
from library_stores import Shelves

from ptsys.library.library import Library

POSTGRES = os.environ.get("PTSYS_TEST_POSTGRES_URL")


@pytest.fixture(params=["sqlite", "postgres"])
def shelves(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shelves]:
    root = tmp_path / "data"
    if request.param == "sqlite":
        made = Shelves(f"sqlite:///{root / 'ptsys.db'}", root)
        yield made
        made.close()
        return
    if not POSTGRES:
        pytest.skip("set PTSYS_TEST_POSTGRES_URL to a server where databases may be made")
    name = f"ptsys_test_{uuid.uuid4().hex}"
    admin = sqlalchemy.make_url(POSTGRES).set(drivername="postgresql+psycopg")
    engine = sqlalchemy.create_engine(admin, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(f"CREATE DATABASE {name}"))
    made = Shelves(admin.set(database=name).render_as_string(hide_password=False), root)
    yield made
    made.close()
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()


@pytest.fixture
def library(shelves: Shelves) -> Library:
    return shelves.library()
