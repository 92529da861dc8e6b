"""The stores that a run in place reads and writes: those of a deployment, without its queue."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Iterator
from pathlib import Path

from ptsys.config import Settings
from ptsys.engine.compilation import keep_compilations
from ptsys.engine.engine import Engine, EngineOptions
from ptsys.engine.workbench import Workbench, keep_start
from ptsys.errors import PtsysError
from ptsys.library.library import Library
from ptsys.runs.compile_notes import compile_notes
from ptsys.store.database import Database
from ptsys.store.datasets import Datasets
from ptsys.store.deployment import bind, make_root
from ptsys.store.prompts import Prompts

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Stores:
    """Datasets and prompts of one deployment."""

    root: Path
    database: Database
    datasets: Datasets
    prompts: Prompts

    def index(self, bench: Workbench) -> None:
        """Bring the library's index of this model up to date with what was recorded. Searches do
        so by themselves: if it fails now, the first one takes longer."""
        keep_start(self.root, bench)
        try:
            Library(self.database, self.prompts, self.root).refresh(bench.served.fingerprint)
        except PtsysError as error:
            logger.warning("the index was not brought up to date: %s", error)


@contextlib.contextmanager
def opened_stores(settings: Settings) -> Iterator[Stores]:
    """The deployment's stores, with its tables up to date. Raises Unavailable."""
    make_root(settings.root)
    database = Database(settings.sqlalchemy_url)
    try:
        database.migrate()
        root = settings.root
        bind(database, root)
        yield Stores(root, database, Datasets(database, root), Prompts(database, root))
    finally:
        database.close()


@contextlib.contextmanager
def engine_of(bench: Workbench, settings: Settings, residents: int) -> Iterator[Engine]:
    """An engine that is not started yet, for as long as it is wanted; what it compiles is told."""
    keep_compilations(settings.root / "compilations")
    options = EngineOptions(max_rows=settings.max_rows, max_residents=residents)
    engine = Engine(bench.served, options)
    try:
        with compile_notes(engine):
            yield engine
    finally:
        engine.close()
