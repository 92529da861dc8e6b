import shutil
from pathlib import Path

import numpy as np
import pytest

from ptsys.engine.residents import Snapshot
from workers.checkpointing import JobCheckpoints

IDENTITY = {"spec": {"steps": 9, "optimizer": {"learning_rate": 0.3}}, "dataset": "d"}
LENGTH, WIDTH = 3, 4


def snapshot(step: int) -> Snapshot:
    values = np.random.default_rng(step).standard_normal((3, LENGTH, WIDTH)).astype(np.float32)
    return Snapshot(step, *values)


def restored(folder: Path, identity: dict | None = None) -> Snapshot | None:
    store = JobCheckpoints(folder, identity or IDENTITY)
    try:
        return store.restore(LENGTH, WIDTH)
    finally:
        store.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Checkpoints of the steps 10 and 20."""
    store = JobCheckpoints(tmp_path / "checkpoints", IDENTITY)
    for step in (10, 20):
        store.save(snapshot(step))
    store.close()
    return tmp_path / "checkpoints"


def same(left: Snapshot | None, right: Snapshot) -> bool:
    return (
        left is not None
        and left.step == right.step
        and all(
            np.array_equal(getattr(left, name), getattr(right, name))
            for name in ("prompt", "first", "second")
        )
    )


def test_the_newest_state_comes_back_bit_for_bit(folder: Path) -> None:
    assert same(restored(folder), snapshot(20))


def test_without_any_there_is_none(tmp_path: Path) -> None:
    assert restored(tmp_path / "nothing") is None
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("damage", ["emptied", "truncated"])
def test_an_unreadable_one_gives_way_to_an_older_one(folder: Path, damage: str) -> None:
    for path in [path for path in (folder / "20").rglob("*") if path.is_file()]:
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2] if damage == "truncated" else b"")
    assert same(restored(folder), snapshot(10))
    store = JobCheckpoints(folder, IDENTITY)  # and its step can be written again
    store.save(snapshot(20))
    store.close()
    assert same(restored(folder), snapshot(20))


def test_if_all_are_unreadable_the_job_begins_anew(folder: Path) -> None:
    for step in (10, 20):
        shutil.rmtree(folder / str(step) / "state")
    assert restored(folder) is None


def test_a_state_of_other_data_or_weights_is_not_used(folder: Path) -> None:
    assert restored(folder, {**IDENTITY, "dataset": "other"}) is None


def test_nothing_stays_after_the_end(folder: Path) -> None:
    store = JobCheckpoints(folder, IDENTITY)
    assert store.restore(LENGTH, WIDTH) is not None
    store.forget()
    assert not folder.exists()
