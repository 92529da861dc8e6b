import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptsys.data.order import BatchOrder
from ptsys.errors import InvalidInput

SIZES = {"rows": st.integers(1, 30), "batch": st.integers(1, 70), "seed": st.integers(0, 2**63)}


def stream(order: BatchOrder, steps: int) -> np.ndarray:
    return np.concatenate([order.indices(step) for step in range(steps)])


@given(**SIZES)
def test_every_epoch_sees_each_row_exactly_once(rows, batch, seed):
    order = BatchOrder(rows, batch, seed)
    seen = stream(order, -(-3 * rows // batch))
    for epoch in range(3):
        part = seen[epoch * rows : (epoch + 1) * rows]
        assert sorted(part) == list(range(rows))


@given(steps=st.lists(st.integers(0, 50), min_size=1, max_size=12), **SIZES)
def test_any_step_is_the_same_however_it_is_reached(steps, rows, batch, seed):
    order = BatchOrder(rows, batch, seed)
    sequence = [order.indices(step) for step in range(51)]
    for step in steps:
        np.testing.assert_array_equal(order.indices(step), sequence[step])
        np.testing.assert_array_equal(BatchOrder(rows, batch, seed).indices(step), sequence[step])


@given(a=st.integers(1, 40), b=st.integers(1, 40), seed=SIZES["seed"])
def test_the_order_of_rows_does_not_depend_on_the_batch_size(a, b, seed):
    one, other = stream(BatchOrder(11, a, seed), 5), stream(BatchOrder(11, b, seed), 5)
    both = min(len(one), len(other))
    np.testing.assert_array_equal(one[:both], other[:both])


def test_seeds_and_epochs_differ():
    orders = [BatchOrder(50, 50, seed).indices(step) for seed in range(3) for step in range(3)]
    assert len({tuple(order) for order in orders}) == 9


def test_rows_come_at_every_place_about_equally_often():
    first = [BatchOrder(5, 1, seed).indices(0)[0] for seed in range(1000)]
    assert np.bincount(first, minlength=5).min() > 150


def test_the_order_never_changes():
    """Jobs resume in this order: it may only change if no job is under way anywhere."""
    assert BatchOrder(7, 7, 3).indices(0).tolist() == [0, 1, 2, 5, 6, 4, 3]
    assert BatchOrder(7, 7, 3).indices(10**12).tolist() == [3, 2, 6, 0, 4, 5, 1]


def test_batches_are_the_callers_own():
    order = BatchOrder(4, 4, 0)
    order.indices(0)[:] = 9
    assert sorted(order.indices(0)) == [0, 1, 2, 3]


def test_few_epochs_are_remembered():
    order = BatchOrder(10, 10, 0)
    for step in random.Random(0).sample(range(1000), 100):
        order.indices(step)
    assert len(order._epochs) <= 2


def test_the_epoch_of_a_step():
    assert [BatchOrder(10, 4, 0).epoch(step) for step in range(6)] == [0, 0, 0, 1, 1, 2]


@pytest.mark.parametrize("wrong", [{"rows": 0}, {"batch_size": 0}, {"seed": -1}])
def test_impossible_sizes_name_their_field(wrong):
    with pytest.raises(InvalidInput) as caught:
        BatchOrder(**({"rows": 1, "batch_size": 1, "seed": 0} | wrong))
    assert caught.value.field == next(iter(wrong))
    with pytest.raises(ValueError, match="negative"):
        BatchOrder(1, 1, 0).indices(-1)
