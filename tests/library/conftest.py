"""A library on a fresh database: SQLite, and PostgreSQL if there is one to use."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from library_stores import LibraryStores

from ptsys.library.library import Library


@pytest.fixture(params=["sqlite", "postgres"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LibraryStores]:
    root = tmp_path / "data"
    url = f"sqlite:///{root / 'ptsys.db'}"
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
    made = LibraryStores(url, root)
    yield made
    made.close()


@pytest.fixture
def library(stores: LibraryStores) -> Library:
    return stores.library()
