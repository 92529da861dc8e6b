"""A backup of a deployment, while it runs.

The database is read in one transaction. A dataset and a prompt never change, and their files are
older than their records: so whatever the snapshot knows is there, unless its owner deletes it
meanwhile, and then it is left out. A job that has not ended comes with its newest checkpoint.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from ptsys.errors import Conflict, Damaged, NotFound
from ptsys.store.archive import Writer
from ptsys.store.clock import utc_now
from ptsys.store.database import Database
from ptsys.store.datasets import Datasets
from ptsys.store.deployment import check_bound
from ptsys.store.dump import drop_rows, write_tables
from ptsys.store.durable import put_in_place
from ptsys.store.faults import unwritable
from ptsys.store.migrations import HEAD
from ptsys.store.prompts import Prompts
from ptsys.store.tables import DatasetRow, JobRow, PromptRow
from ptsys.types.records import JobState

_TRIES = 5  # to catch a checkpoint that is not replaced while it is read
_FINAL = [state.value for state in JobState if state.final]


class Backup(NamedTuple):
    """What a backup holds. `damaged` are ids whose files are lost or wrong in the original."""

    datasets: int
    prompts: int
    jobs: int
    models: int
    bytes: int
    damaged: tuple[str, ...]


def back_up(
    database: Database,
    root: Path,
    file: Path,
    *,
    models: bool = True,
    told: Callable[[str], None] = lambda text: None,
) -> Backup:
    """Write a backup of database and folder to a new file, which appears whole or not at all.

    Raises Conflict if the file is there already, WrongDeployment if database and folder do not
    belong together, Unavailable if it cannot be written.
    """
    deployment = check_bound(database, root).deployment
    if file.exists():
        raise Conflict(f"{file} is there already; name a new file")
    draft = file.with_name(f".{file.name}.draft")
    try:
        with (
            tempfile.TemporaryDirectory(dir=file.parent, prefix=".ptsys-backup-") as spool,
            open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out,
        ):
            header = {
                "deployment": deployment,
                "revision": HEAD,
                "made": utc_now().isoformat(),
            }
            found = _Run(database, root, Writer(out, header), Path(spool), told).run(models)
        put_in_place(draft, file)
    except OSError as error:
        raise unwritable(f"the backup {file.name}", file, error) from error
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
    return found


class _Run:
    """One backup on its way."""

    def __init__(
        self,
        database: Database,
        root: Path,
        writer: Writer,
        spool: Path,
        told: Callable[[str], None],
    ) -> None:
        self._root = root
        self._writer = writer
        self._spool = spool
        self._told = told
        self._datasets = Datasets(database, root)
        self._prompts = Prompts(database, root)
        self._database = database
        self._gone: dict[str, set[str]] = {"datasets": set(), "prompts": set()}
        self._damaged: list[str] = []

    def run(self, models: bool) -> Backup:
        with self._database.snapshot() as connection:
            counts = write_tables(connection, self._spool)
            datasets = _ids(connection, select(DatasetRow.id))
            prompts = _ids(connection, select(PromptRow.id))
            jobs = _ids(connection, select(JobRow.id).where(JobRow.state.not_in(_FINAL)))
        self._told(f"{sum(counts.values())} rows of {len(counts)} tables")
        for identifier in datasets:
            self._dataset(identifier)
        for identifier in prompts:
            self._prompt(identifier)
        self._told(f"{len(datasets)} datasets, {len(prompts)} prompts")
        checkpoints = sum(self._job(self._root / "jobs" / job) for job in jobs)
        kept = self._models() if models else 0
        drop_rows(self._spool, self._gone)
        for path in sorted(self._spool.iterdir()):
            self._writer.add(f"database/{path.name}", path)
        self._writer.finish(damaged=self._damaged)
        gone = self._gone
        return Backup(
            len(datasets) - len(gone["datasets"]),
            len(prompts) - len(gone["prompts"]),
            checkpoints,
            kept,
            self._writer.size,
            tuple(self._damaged),
        )

    def _dataset(self, identifier: str) -> None:
        try:
            self._datasets.read(identifier)  # its digest is right
            self._writer.add(f"datasets/{identifier}.jsonl", Path(self._datasets.path(identifier)))
        except NotFound:
            self._gone["datasets"].add(identifier)
        except (Damaged, FileNotFoundError):
            self._lost("datasets", identifier, lambda: self._datasets.read(identifier))

    def _prompt(self, identifier: str) -> None:
        folder = Path(self._prompts.tensor_path(identifier))

        def recorded() -> bool:  # a record goes before its folder
            return self._holds(select(PromptRow.id).where(PromptRow.id == identifier))

        if not self._writer.add_folder(f"prompts/{identifier}", folder, recorded):
            self._lost("prompts", identifier, lambda: self._prompts.read(identifier))

    def _lost(self, kind: str, identifier: str, read: Callable[[], Any]) -> None:
        """Its file is not there, or wrong: was it deleted in this moment?"""
        try:
            read()
        except NotFound:
            self._gone[kind].add(identifier)
            return
        except Damaged:
            pass
        self._damaged.append(identifier)

    def _holds(self, query: Any) -> bool:
        """Whether there is such a record now."""
        with self._database.reading() as session:
            return session.scalar(query) is not None

    def _job(self, folder: Path) -> bool:
        """The newest checkpoint; older ones may be on their way out."""
        place = folder / "checkpoints"
        going_on = select(JobRow.id).where(JobRow.id == folder.name, JobRow.state.not_in(_FINAL))
        for _ in range(_TRIES):
            newest = _newest(place)
            if newest is None:
                return False

            def stays(copied: Path = newest) -> bool:
                return _newest(place) == copied and self._holds(going_on)

            if self._writer.add_folder(newest.relative_to(self._root).as_posix(), newest, stays):
                return True
        return False  # it ended, or begins anew

    def _models(self) -> int:
        folder = self._root / "models"
        found = [
            path
            for path in (sorted(folder.iterdir()) if folder.is_dir() else ())
            if path.is_dir() and not path.name.startswith((".", "_"))
        ]
        kept = [path for path in found if self._writer.add_folder(f"models/{path.name}", path)]
        if kept:
            self._told(f"models {', '.join(path.name for path in kept)}")
        return len(kept)


def _newest(checkpoints: Path) -> Path | None:
    """The folder of the last step; None if there is none."""
    try:
        steps = [path for path in checkpoints.iterdir() if re.fullmatch(r"\d+", path.name)]
    except FileNotFoundError:
        return None
    return max(steps, key=lambda path: int(path.name), default=None)


def _ids(connection: Connection, query: Any) -> list[str]:
    return sorted(connection.scalars(query))
