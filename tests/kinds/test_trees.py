"""Rows of ids laid into arrays."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptsys.kinds.trees import Feature, stacked


@given(
    rows=st.lists(st.lists(st.integers(1, 300), max_size=6), max_size=5), wider=st.integers(0, 3)
)
def test_padding_adds_zeros_on_the_right_only(rows: list[list[int]], wider: int) -> None:
    width = max(map(len, rows), default=0) + wider
    padded = stacked(rows, Feature("inputs", (width,)))
    assert padded.shape == (len(rows), width)
    assert padded.dtype == np.int32
    assert [row[row > 0].tolist() for row in padded] == rows
    assert (padded > 0).sum() == sum(map(len, rows))


def test_padding_never_cuts() -> None:
    with pytest.raises(ValueError, match="row 1 has 3"):
        stacked([[1], [1, 2, 3]], Feature("inputs", (2,)))


def test_numbers_and_arrays_of_one_shape_are_stacked_as_they_are() -> None:
    assert stacked([3, 1], Feature("limit", ())).tolist() == [3, 1]
    pictures = np.arange(8, dtype=np.uint8).reshape(2, 2, 2)
    np.testing.assert_array_equal(stacked(pictures, Feature("pixels", (2, 2), "uint8")), pictures)
