"""A fresh database for each test: SQLite files, and PostgreSQL if there is one to use."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ptsys.store.database import Database


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ptsys.db'}"
    made: str = request.getfixturevalue("postgres_url")
    return made


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    database = Database(url)
    database.migrate()
    yield database
    database.close()
