"""Beam search finds what an exhaustive search and a plain list-based one find."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest
from numpy_t5 import Reference
from text_passes import generate
from tiny_batches import prompts, rows, tiny

from ptsys.models.t5.decoding import choices
from ptsys.passes.frozen import Frozen

OWN = prompts([3, 0, 2], 3)
ROWS = rows([0, 1, 2, 0, 1, 2], vocabulary=6)
LIMIT = np.array([3, 3, 2, 1, 3, 3], np.int32)
ALPHA = np.array([0, 0.6, 2, 1, 5, 0.3], np.float32)


class Language:
    """Next-token log-probabilities of one row, remembered."""

    def __init__(self, frozen: Frozen, row: int) -> None:
        self.reference, self.row = Reference(frozen), row

    @functools.cache  # noqa: B019 -- lives as long as one test
    def following(self, so_far: tuple[int, ...]) -> np.ndarray:
        row = self.row
        return self.reference.next_log_probability(OWN, ROWS.slot[row], ROWS.inputs[row], so_far)

    def log_probability(self, tokens: tuple[int, ...]) -> float:
        return sum(self.following(tokens[:i])[token] for i, token in enumerate(tokens))


def penalized(score: float, length: int, alpha: float) -> float:
    return score / ((5 + length) / 6) ** alpha


def exhaustive(language: Language, limit: int, alpha: float) -> tuple[int, ...]:
    """The best of all sequences that end within `limit` or are cut there."""
    inner = range(2, 6)
    whole = [
        (*body, 1) for n in range(limit) for body in itertools.product(inner, repeat=n)
    ] + list(itertools.product(inner, repeat=limit))
    return max(whole, key=lambda x: penalized(language.log_probability(x), len(x), alpha))


def by_lists(language: Language, limit: int, alpha: float, beams: int) -> tuple[int, ...]:
    """Beam search over Python lists, always run to the limit: of the 2N best continuations, those
    that end are finished and the N best others go on."""
    live: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    finished: list[tuple[float, tuple[int, ...]]] = []
    for length in range(1, limit + 1):
        grown = [
            (score + language.following(tokens)[token], (*tokens, token))
            for score, tokens in live
            for token in range(1, len(language.following(tokens)))
        ]
        top = sorted(grown, reverse=True)[: 2 * beams]
        over = [x for x in top if x[1][-1] == 1 or length == limit]
        finished += [(penalized(score, length, alpha), tokens) for score, tokens in over]
        live = [x for x in top if x not in over][:beams]
    return max(finished)[1]


@pytest.fixture(scope="module")
def few() -> Frozen:
    """A vocabulary of 6, nearly flat, so that length penalties matter."""
    return tiny(6, seed=5, sharpness=1.0)


def test_wide_beams_find_the_best_of_all_sequences(few: Frozen) -> None:
    wanted = choices(6, 3)._replace(limit=LIMIT, length_penalty=ALPHA)
    found = generate(
        few, OWN, ROWS.inputs, ROWS.slot, wanted, method="beam", max_tokens=3, beams=48
    )
    for row in range(6):
        language = Language(few, row)
        best = exhaustive(language, int(LIMIT[row]), float(ALPHA[row]))
        assert tuple(x for x in found.tokens[row].tolist() if x) == best
        np.testing.assert_allclose(found.score[row], language.log_probability(best), rtol=1e-5)


@pytest.mark.parametrize("beams", [2, 4])
def test_narrow_beams_equal_a_search_over_lists_that_never_stops_early(
    few: Frozen, beams: int
) -> None:
    limit = np.array([7, 5, 7, 6, 7, 2], np.int32)
    wanted = choices(6, 7)._replace(limit=limit, length_penalty=ALPHA)
    found = generate(
        few, OWN, ROWS.inputs, ROWS.slot, wanted, method="beam", max_tokens=7, beams=beams
    )
    lengths = set()
    for row in range(6):
        language = Language(few, row)
        best = by_lists(language, int(limit[row]), float(ALPHA[row]), beams)
        assert tuple(x for x in found.tokens[row].tolist() if x) == best
        np.testing.assert_allclose(found.score[row], language.log_probability(best), rtol=1e-5)
        lengths.add(len(best))
    assert len(lengths) > 1


def test_a_search_stops_once_nothing_can_win_any_more(few: Frozen) -> None:
    """Without a length penalty an unfinished hypothesis only loses; the more alpha rewards
    length, the longer it takes to be sure."""
    steps = []
    for alpha in (0, 10):
        wanted = choices(6, 7)._replace(length_penalty=np.full(6, alpha, np.float32))
        found = generate(
            few, OWN, ROWS.inputs, ROWS.slot, wanted, method="beam", max_tokens=7, beams=2
        )
        steps.append(int(found.steps[0]))
        assert found.steps >= (np.asarray(found.tokens) > 0).sum(1).max()
    assert steps[0] < steps[1] == 7
