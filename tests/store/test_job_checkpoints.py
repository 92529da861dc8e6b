import errno
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from ptsys.errors import Unavailable
from ptsys.store.checkpoints import Checkpoints
from ptsys.store.job_checkpoints import JobCheckpoints, State

IDENTITY = {"spec": {"steps": 9, "optimizer": {"learning_rate": 0.3}}, "dataset": "d"}
LENGTH, WIDTH = 3, 4


def state(step: int) -> State:
    """Arrays of several shapes and types, some of them in a dictionary of their own."""
    values = np.random.default_rng(step).standard_normal((2, LENGTH, WIDTH)).astype(np.float32)
    counts = np.arange(step, step + 4, dtype=np.int32)
    return {"prompt": values[0], "part": {"value": values[1:], "updates": counts}}


def restored(folder: Path, identity: dict | None = None) -> tuple[int, State] | None:
    store = JobCheckpoints(folder, identity or IDENTITY)
    try:
        return store.restore(state(0))
    finally:
        store.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Checkpoints of the steps 10 and 20."""
    store = JobCheckpoints(tmp_path / "checkpoints", IDENTITY)
    for step in (10, 20):
        store.save(step, state(step))
    store.close()
    return tmp_path / "checkpoints"


def same(found: tuple[int, State] | None, step: int) -> bool:
    if found is None or found[0] != step:
        return False
    wanted, whole = jax.tree.flatten(state(step))
    arrays, form = jax.tree.flatten(found[1])
    pairs = list(zip(arrays, wanted, strict=True))
    return form == whole and all(x.dtype == y.dtype and np.array_equal(x, y) for x, y in pairs)


def test_the_newest_state_comes_back_bit_for_bit(folder: Path) -> None:
    assert same(restored(folder), 20)


def test_without_any_there_is_none(tmp_path: Path) -> None:
    assert restored(tmp_path / "nothing") is None
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("damage", ["emptied", "truncated"])
def test_an_unreadable_one_gives_way_to_an_older_one(folder: Path, damage: str) -> None:
    for path in [path for path in (folder / "20").rglob("*") if path.is_file()]:
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2] if damage == "truncated" else b"")
    assert same(restored(folder), 10)
    store = JobCheckpoints(folder, IDENTITY)  # and its step can be written again
    store.save(20, state(20))
    store.close()
    assert same(restored(folder), 20)


def test_if_all_are_unreadable_the_job_begins_anew(folder: Path) -> None:
    for step in (10, 20):
        shutil.rmtree(folder / str(step) / "state")
    assert restored(folder) is None


def test_a_state_of_other_data_or_weights_is_not_used(folder: Path) -> None:
    assert restored(folder, {**IDENTITY, "dataset": "other"}) is None


def test_what_cannot_be_used_is_set_aside_and_not_deleted(folder: Path) -> None:
    """A worker with the wrong weights must not cost a job its progress."""
    assert restored(folder, {**IDENTITY, "fingerprint": "other"}) is None
    aside = folder.with_name("checkpoints.set-aside")
    assert {path.name.partition("-")[0] for path in aside.iterdir()} == {"10", "20"}
    for path in aside.iterdir():
        path.rename(folder / path.name.partition("-")[0])
    assert same(restored(folder), 20)


def test_a_machine_out_of_files_is_no_damage(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "restore", refused)
        with pytest.raises(Unavailable):
            restored(folder)
    assert same(restored(folder), 20)


def test_nothing_stays_after_the_end(folder: Path) -> None:
    store = JobCheckpoints(folder, IDENTITY)
    assert store.restore(state(0)) is not None
    store.forget()
    assert not folder.exists()
