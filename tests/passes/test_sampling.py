"""Samples follow the model's distribution, tempered and cut to its nucleus."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy_t5 import Reference
from text_passes import Prompts, generate
from tiny_batches import prompts, rows, tiny

from ptsys.models.t5.decoding import Choices, choices
from ptsys.passes.frozen import Frozen

DRAWS = 2048
OWN = prompts([3], 3)


@pytest.fixture(scope="module")
def few() -> Frozen:
    """A vocabulary of 6."""
    return tiny(6, seed=1, sharpness=2.0)


def draws(
    frozen: Frozen, wanted: Choices, inputs: np.ndarray, own: Prompts = OWN, method: str = "sample"
) -> np.ndarray:
    """[DRAWS, 2] tokens of the same row."""
    same, slot = np.tile(inputs, (DRAWS, 1)), np.zeros(DRAWS, np.int32)
    return np.asarray(
        generate(frozen, own, same, slot, wanted, method=method, max_tokens=2).tokens  # type: ignore[arg-type]
    )


def expected(log_probability: np.ndarray, temperature: float, top_p: float) -> np.ndarray:
    """Probability of every token, by the definitions; token 0 is never drawn."""
    weights = np.exp(log_probability / temperature)
    weights[0] = 0
    weights /= weights.sum()
    kept, mass = np.zeros(len(weights), bool), 0.0
    for token in np.argsort(-weights):
        if mass >= top_p:
            break
        kept[token] = True
        mass += weights[token]
    weights[~kept] = 0
    return weights / weights.sum()


@pytest.mark.parametrize(
    ("temperature", "top_p"), [(1.0, 1.0), (0.5, 1.0), (3.0, 1.0), (1.0, 0.6), (2.0, 0.8)]
)
def test_frequencies_of_pairs_match_the_tempered_nucleus(
    few: Frozen, temperature: float, top_p: float
) -> None:
    """A chi-square bound of mean + 5 standard deviations over all pairs of tokens, so that draws
    of the two positions have to be independent too."""
    inputs = rows([0], vocabulary=6).inputs[0]
    reference = Reference(few)
    wanted = choices(DRAWS, 2)
    wanted.temperature[:], wanted.top_p[:] = temperature, top_p
    wanted.seed[:] = np.arange(DRAWS)
    found = draws(few, wanted, inputs)

    joint: dict[tuple[int, int], float] = {}
    first = expected(reference.next_log_probability(OWN, 0, inputs, ()), temperature, top_p)
    joint[1, 0] = first[1]
    for a, b in itertools.product(range(2, 6), range(1, 6)):
        following = reference.next_log_probability(OWN, 0, inputs, (a,))
        joint[a, b] = first[a] * expected(following, temperature, top_p)[b]
    assert np.isclose(sum(joint.values()), 1)
    counts = {pair: int((found == pair).all(1).sum()) for pair in joint}
    assert sum(counts.values()) == DRAWS
    possible = [pair for pair, p in joint.items() if p > 0]
    assert all(counts[pair] == 0 for pair in joint if pair not in possible)
    chi_square = sum((counts[x] - DRAWS * joint[x]) ** 2 / (DRAWS * joint[x]) for x in possible)
    freedom = max(len(possible) - 1, 1)
    assert chi_square < freedom + 5 * np.sqrt(2 * freedom)


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1e-6), (1e-30, 1.0), (2.0, 1e-30)])
def test_a_tiny_nucleus_and_a_cold_sample_are_greedy(
    few: Frozen, temperature: float, top_p: float
) -> None:
    wanted = choices(DRAWS, 2)
    wanted.seed[:] = np.arange(DRAWS)
    inputs = rows([0], vocabulary=6).inputs[0]
    greedy = draws(few, wanted, inputs, method="greedy")
    wanted.temperature[:], wanted.top_p[:] = temperature, top_p
    np.testing.assert_array_equal(draws(few, wanted, inputs), greedy)


def test_a_draw_depends_on_the_seed_and_on_no_place_and_no_company(few: Frozen) -> None:
    inputs = rows([0], vocabulary=6).inputs[0]
    random = np.random.default_rng(0)
    wanted = choices(DRAWS, 2)
    wanted.seed[:] = random.integers(0, 20, DRAWS)
    plain = draws(few, wanted, inputs)
    by_seed = {seed: set(map(tuple, plain[wanted.seed == seed])) for seed in range(20)}
    assert all(len(x) == 1 for x in by_seed.values())
    assert len(set.union(*by_seed.values())) > 5
    wanted.top_p[::2] = 0.3  # the others now share a batch with nuclei
    np.testing.assert_array_equal(draws(few, wanted, inputs)[1::2], plain[1::2])
