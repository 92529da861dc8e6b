"""Span corruption: splicing the spans back gives the original."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptsys.data.span_corruption import corrupt

SENTINELS = list(range(1000, 1100))


def _splice(inputs: list[int], targets: list[int], sentinels: set[int]) -> list[int]:
    """Put the span that follows each sentinel in the targets back where it stands in the inputs."""
    spans: dict[int, list[int]] = {}
    current = -1
    for token in targets:
        if token in sentinels:
            current = token
            spans[current] = []
        else:
            spans[current].append(token)
    return [t for token in inputs for t in (spans[token] if token in sentinels else [token])]


@given(
    tokens=st.lists(st.integers(0, 999), min_size=2, max_size=300),
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 100),
    density=st.floats(0.01, 0.99),
    mean=st.floats(1.0, 10.0),
)
def test_round_trip(tokens: list[int], seed: int, count: int, density: float, mean: float) -> None:
    sentinels = SENTINELS[:count]
    inputs, targets = corrupt(
        tokens,
        np.random.default_rng(seed),
        sentinel_ids=sentinels,
        noise_density=density,
        mean_span_length=mean,
    )
    used = [token for token in inputs if token >= 1000]
    assert used == sentinels[: len(used)]
    assert [token for token in targets if token >= 1000] == used
    assert 1 <= len(used) <= count
    noise = len(targets) - len(used)
    assert noise >= 1
    assert len(inputs) - len(used) >= 1
    assert noise + len(inputs) - len(used) == len(tokens)
    assert _splice(inputs, targets, set(sentinels)) == tokens


@given(tokens=st.lists(st.integers(0, 999), min_size=2, max_size=60), seed=st.integers(0, 1000))
def test_no_two_sentinels_are_adjacent(tokens: list[int], seed: int) -> None:
    inputs, targets = corrupt(tokens, np.random.default_rng(seed), sentinel_ids=SENTINELS)
    for row in (inputs, targets):
        assert all(a < 1000 or b < 1000 for a, b in itertools.pairwise(row))
    assert inputs[0] < 1000
    assert inputs[-1] >= 1000


def test_default_rates() -> None:
    rng = np.random.default_rng(0)
    inputs, targets = corrupt(list(range(900)), rng, sentinel_ids=SENTINELS)
    spans = sum(token >= 1000 for token in inputs)
    assert len(targets) - spans == 135
    assert spans == 45


def test_positions_vary_and_repeat_with_the_generator() -> None:
    tokens = list(range(50))
    rows = [
        corrupt(tokens, np.random.default_rng(seed), sentinel_ids=SENTINELS) for seed in (0, 0, 1)
    ]
    assert rows[0] == rows[1]
    assert rows[0] != rows[2]


@pytest.mark.parametrize("tokens", [[], [7]])
def test_too_short_to_corrupt(tokens: list[int]) -> None:
    assert corrupt(tokens, np.random.default_rng(0), sentinel_ids=SENTINELS) == (tokens, [])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise_density": 1.0}, "noise_density"),
        ({"mean_span_length": 0.5}, "mean_span_length"),
        ({"sentinel_ids": []}, "sentinel"),
    ],
)
def test_refuses_bad_options(options: dict[str, object], message: str) -> None:
    arguments = {"sentinel_ids": SENTINELS, **options}
    with pytest.raises(ValueError, match=message):
        corrupt([1, 2, 3], np.random.default_rng(0), **arguments)  # type: ignore[arg-type]
