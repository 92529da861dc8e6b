import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ptsys.data.task_mixing import BLOCK, TaskMix, block_counts, task_shares

SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=6)


def mix(sizes: list[int], batch: int = 7, seed: int = 0) -> TaskMix:
    return TaskMix(tuple(sizes), tuple(task_shares(sizes, "size").tolist()), batch, seed)


def test_shares_are_those_of_sizes_rates_or_nothing() -> None:
    assert task_shares([10, 30, 60], "size").tolist() == [0.1, 0.3, 0.6]
    assert task_shares([10, 30, 60], "size", size_limit=30).tolist() == [1 / 7, 3 / 7, 3 / 7]
    assert task_shares([10, 30], "equal").tolist() == [0.5, 0.5]
    assert task_shares([10, 30], "rates", rates=[3, 1]).tolist() == [0.75, 0.25]


@given(weights=st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=256))
@settings(deadline=None)
def test_a_block_has_every_tasks_share_and_never_none(weights: list[float]) -> None:
    shares = task_shares([1] * len(weights), "rates", rates=weights)
    counts = block_counts(shares)
    assert counts.sum() == BLOCK
    assert counts.min() >= 1
    assert np.all(np.maximum(shares * BLOCK, 1) - counts > -1)  # no task has a row too many
    assert np.abs(counts - shares * BLOCK).max() <= 1 + np.sum(shares * BLOCK < 1)


@pytest.mark.parametrize("batch", [1, 16, 300, 512])
def test_batches_give_the_shares_over_every_block(batch: int) -> None:
    sizes = [3, 50, 200]
    run = mix(sizes, batch)
    seen = np.zeros(3, int)
    for step in range(2 * BLOCK // batch):
        drawn = {task: len(rows) for task, rows in run.rows(step).items()}
        assert sum(drawn.values()) == batch
        for task, count in drawn.items():
            seen[task] += count
    shares = np.array(sizes) / sum(sizes)
    assert np.abs(seen - 2 * BLOCK // batch * batch * shares).max() < batch


@given(sizes=SIZES, batch=st.integers(1, 60), seed=st.integers(0, 2**31))
@settings(deadline=None, max_examples=25)
def test_a_task_sees_each_row_once_an_epoch_whatever_the_batches(
    sizes: list[int], batch: int, seed: int
) -> None:
    run = mix(sizes, batch, seed)
    seen: dict[int, list[int]] = {task: [] for task in range(len(sizes))}
    for step in range(40):
        for task, rows in run.rows(step).items():
            seen[task] += rows.tolist()
    for task, rows in seen.items():
        for start in range(0, len(rows) - sizes[task] + 1, sizes[task]):
            assert sorted(rows[start : start + sizes[task]]) == list(range(sizes[task]))


@given(steps=st.lists(st.integers(0, 3000), min_size=1, max_size=8))
@settings(deadline=None, max_examples=20)
def test_a_step_is_the_same_however_it_is_reached(steps: list[int]) -> None:
    run = mix([4, 9, 30], 16, seed=5)
    for step in steps:
        found, alone = run.rows(step), mix([4, 9, 30], 16, seed=5).rows(step)
        assert found.keys() == alone.keys()
        assert all(np.array_equal(found[task], alone[task]) for task in found)
    assert not np.array_equal(mix([99], 16, seed=1).rows(0)[0], mix([99], 16, seed=2).rows(0)[0])
