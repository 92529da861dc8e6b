"""A database and a folder that belong together say so, and nothing starts where they differ."""

import json
import os
import shutil
import stat
from pathlib import Path

import pytest

from ptsys.errors import Unavailable, WrongDeployment
from ptsys.store.database import Database
from ptsys.store.datasets import Datasets
from ptsys.store.deployment import FILE, adopt, bind, check_bound, read_mark
from ptsys.types.example import Example


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def inside(root: Path) -> Database:
    """SQLite in the folder, as by default."""
    database = Database(f"sqlite:///{root / 'ptsys.db'}")
    database.migrate()
    return database


def add(database: Database, root: Path, name: str = "d") -> str:
    return Datasets(database, root).add(name, "ann", [Example("a", "b")]).id


def test_both_get_one_id_and_keep_it(database: Database, root: Path) -> None:
    made = bind(database, root)
    assert read_mark(root).deployment == made == bind(database, root)
    assert check_bound(database, root).deployment == made
    assert stat.S_IMODE((root / FILE).stat().st_mode) == 0o600


def test_an_empty_database_beside_files_is_refused(inside: Database, root: Path) -> None:
    bind(inside, root)
    add(inside, root)
    inside.close()
    for path in root.glob("ptsys.db*"):
        path.unlink()
    inside.migrate()
    with pytest.raises(WrongDeployment, match="ptsys adopt"):
        bind(inside, root)
    with pytest.raises(WrongDeployment):
        check_bound(inside, root)
    made = adopt(inside, root)
    assert bind(inside, root) == made
    assert read_mark(root).adopted is not None


def test_another_folder_is_refused(database: Database, root: Path, tmp_path: Path) -> None:
    bind(database, root)
    add(database, root)
    with pytest.raises(WrongDeployment, match="--data"):
        bind(database, tmp_path / "mistyped")
    assert not (tmp_path / "mistyped" / FILE).exists()


def test_two_deployments_are_not_mixed(tmp_path: Path) -> None:
    made = []
    for name in ("one", "two"):
        database = Database(f"sqlite:///{tmp_path / name / 'ptsys.db'}")
        database.migrate()
        made.append((database, tmp_path / name, bind(database, tmp_path / name)))
    (one, _, first), (_, folder, second) = made
    with pytest.raises(WrongDeployment) as caught:
        bind(one, folder)
    assert first in str(caught.value)
    assert second in str(caught.value)
    assert "/" not in (caught.value.public or "")  # users are told no paths


def forget_ids(database: Database, root: Path) -> None:
    """As an earlier version left it."""
    with database.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM deployment")
    (root / FILE).unlink(missing_ok=True)


def test_what_an_earlier_version_made_is_taken_over(inside: Database, root: Path) -> None:
    bind(inside, root)
    add(inside, root)
    forget_ids(inside, root)
    root.chmod(0o755)
    bind(inside, root)
    assert stat.S_IMODE(root.stat().st_mode) == 0o700


@pytest.mark.parametrize("lost", ["records", "files", "other files"])
def test_but_not_what_obviously_differs(inside: Database, root: Path, lost: str) -> None:
    bind(inside, root)
    made = add(inside, root)
    forget_ids(inside, root)
    path = root / "datasets" / f"{made}.jsonl"
    if lost == "records":
        with inside.engine.begin() as connection:
            connection.exec_driver_sql("DELETE FROM datasets")
    elif lost == "files":
        path.unlink()
    else:
        path.rename(path.with_name("ds-another.jsonl"))
    with pytest.raises(WrongDeployment):
        bind(inside, root)
    assert not (root / FILE).exists()


def test_a_copy_becomes_a_deployment_of_its_own(inside: Database, root: Path) -> None:
    original = bind(inside, root)
    add(inside, root)
    inside.close()
    shutil.copytree(root, root.with_name("copy"))
    copy = Database(f"sqlite:///{root.with_name('copy') / 'ptsys.db'}")
    made = bind(copy, root.with_name("copy"))
    assert made != original
    assert bind(inside, root) == original
    assert check_bound(copy, root.with_name("copy")).deployment == made


def test_a_moved_folder_stays_what_it_was(inside: Database, root: Path) -> None:
    original = bind(inside, root)
    inside.close()
    moved = root.rename(root.with_name("moved"))
    assert bind(Database(f"sqlite:///{moved / 'ptsys.db'}"), moved) == original
    assert read_mark(moved).home == str(moved)


def test_a_writer_that_died_in_between_is_no_stranger(database: Database, root: Path) -> None:
    made = bind(database, root)
    (root / FILE).unlink()
    assert bind(database, root) == made == read_mark(root).deployment


def test_an_unreadable_mark_is_not_overwritten(database: Database, root: Path) -> None:
    bind(database, root)
    (root / FILE).write_text(json.dumps(["torn"]))
    with pytest.raises(Unavailable, match="belongs"):
        bind(database, root)
    assert (root / FILE).read_text() == '["torn"]'


def test_somebody_elses_folder_is_not_closed(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    database = Database(f"sqlite:///{shared / 'ptsys.db'}")
    database.migrate()
    bind(database, shared)
    assert stat.S_IMODE(os.stat(shared).st_mode) == 0o1777
