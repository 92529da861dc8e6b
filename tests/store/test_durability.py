"""What was acknowledged is on the disk: files and the names of files first, then the record.

Real code paths run; each `fsync` is noted with what the file or folder was like at that moment, and
when a record is committed, whatever lies below the root must be as it was when last synced.
"""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from sqlalchemy import event, text

from ptsys.models.atomic_folder import atomic_folder
from ptsys.prompts.multitask import Affine, TaskPart
from ptsys.prompts.orbax_form import write_orbax
from ptsys.prompts.storage import save_tree
from ptsys.store.checkpoints import Checkpoints
from ptsys.store.clock import utc_now
from ptsys.store.database import Database
from ptsys.store.datasets import Datasets
from ptsys.store.job_checkpoints import JobCheckpoints
from ptsys.store.models import Models
from ptsys.store.prompts import Prompts
from ptsys.types.example import Example
from ptsys.types.records import Model, Prompt

PROMPT = np.ones((2, 4), np.float32)


class Disk:
    """What would be there if the power went now."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._synced: dict[tuple[int, int], tuple[int, int]] = {}

    def note(self, descriptor: int) -> None:
        found = os.fstat(descriptor)
        self._synced[found.st_dev, found.st_ino] = (found.st_size, found.st_mtime_ns)

    def losses(self) -> list[str]:
        """Files whose content, and folders whose names, a power loss could cost."""
        lost = []
        for folder, _, files in os.walk(self._root):
            for path in (Path(folder), *(Path(folder, name) for name in files)):
                found = path.stat()
                synced = self._synced.get((found.st_dev, found.st_ino))
                if synced != (found.st_size, found.st_mtime_ns):
                    lost.append(str(path.relative_to(self._root)))
        return lost


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.fixture
def disk(root: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk, real = Disk(root), os.fsync

    def noted(descriptor: int) -> None:
        disk.note(descriptor)  # what changes while it is synced is not counted as synced
        real(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    return disk


@pytest.fixture
def commits(database: Database, disk: Disk) -> Iterator[list[list[str]]]:
    """At every commit, what it would acknowledge too early."""
    seen: list[list[str]] = []

    def look(_connection: object) -> None:
        seen.append(disk.losses())

    event.listen(database.engine, "commit", look)
    yield seen
    event.remove(database.engine, "commit", look)


def add_dataset(database: Database, root: Path) -> None:
    Datasets(database, root).add("d", "ann", [Example("a", "b")] * 100)


def add_prompt(write: Callable[[Path], None]) -> Callable[[Database, Path], None]:
    def add(database: Database, root: Path) -> None:
        prompts = Prompts(database, root)
        prompt = Prompt(
            id=prompts.new_id(),
            name="p",
            owner="ann",
            model="tiny",
            model_fingerprint="f",
            length=2,
            d_model=4,
            created=utc_now(),
        )
        write(Path(prompts.tensor_path(prompt.id)))
        prompts.add(prompt)

    return add


def add_model(database: Database, root: Path) -> None:
    models = Models(database, root)
    with atomic_folder(Path(models.path("m"))) as folder:
        (folder / "weights").mkdir()
        (folder / "weights" / "w").write_bytes(b"x" * 10_000)
    models.add(Model(name="m", fingerprint="f", source="", parameters=1, d_model=4, vocab_size=8))


def checkpoint(database: Database, root: Path) -> None:
    kept = JobCheckpoints(root / "jobs" / "job-1" / "checkpoints", {"job": 1})
    for step in (10, 20, 30):  # the first goes when the third is there
        kept.save(step, {"prompt": PROMPT, "state": {"count": np.array(3)}})
        with database.session() as session:  # as the worker's event that tells of it
            session.execute(text("SELECT 1"))
    kept.close()


def general_checkpoint(database: Database, root: Path) -> None:
    with Checkpoints(root / "run" / "checkpoints") as kept:
        kept.save(1, {"w": jnp.ones(4)})
    with database.session() as session:
        session.execute(text("SELECT 1"))


PATHS = {
    "a dataset": add_dataset,
    "a prompt over HTTP": add_prompt(lambda path: write_orbax(path, PROMPT)),
    "a prompt of a job": add_prompt(lambda path: save_tree(path, {"prompt": PROMPT})),
    "a part": add_prompt(
        lambda path: save_tree(path, TaskPart(PROMPT, Affine(np.ones((2, 2)), PROMPT)).arrays)
    ),
    "a model": add_model,
    "a job's checkpoints": checkpoint,
    "a run's checkpoints": general_checkpoint,
}


@pytest.mark.parametrize("path", PATHS)
def test_files_and_their_names_are_synced_before_the_record(
    path: str, database: Database, root: Path, commits: list[list[str]]
) -> None:
    PATHS[path](database, root)
    assert commits
    assert not any(commits), commits
    assert any(file.is_file() for file in root.rglob("*"))


def test_the_disk_of_these_tests_notices(database: Database, root: Path, disk: Disk) -> None:
    """A file, a name and a change that nobody synced."""
    add_dataset(database, root)
    assert disk.losses() == []
    [path] = (root / "datasets").iterdir()
    os.utime(path, ns=(1, 1))
    (root / "datasets" / "new").write_text("x")
    assert set(disk.losses()) == {"datasets", f"datasets/{path.name}", "datasets/new"}


def test_every_connection_to_sqlite_syncs_each_commit(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'ptsys.db'}")
    database.migrate()
    found: list[object] = []

    def look() -> None:
        with database.session() as session:
            found.append(session.scalar(text("PRAGMA synchronous")))
        with database.reading() as session:
            found.append(session.scalar(text("PRAGMA synchronous")))

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    database.close()
    assert found == [2] * 8  # FULL: the write-ahead log is synced before COMMIT returns
