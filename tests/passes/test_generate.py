"""Generating, one hypothesis a row: what comes out, and when the pass stops."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from numpy_t5 import Reference, log_softmax
from text_passes import Rows, generate, score
from tiny_batches import prompts, rows, wishes

from ptsys.models.t5.decoding import Choices, choices
from ptsys.passes.frozen import Frozen

METHODS = [("greedy", 1), ("sample", 1), ("beam", 3)]
TOKENS = 6
OWN = prompts([3, 0, 2, 4], 4)
SOME = rows([0, 1, 2, 3, 0, 1, 2, 9], vocabulary=12)
COUNT = len(SOME.slot)


def answer(frozen: Frozen, wanted: Choices, method: str = "greedy", beams: int = 1):  # type: ignore[no-untyped-def]
    return generate(
        frozen, OWN, SOME.inputs, SOME.slot, wanted, method=method, max_tokens=TOKENS, beams=beams
    )


def lengths(tokens: jax.Array) -> list[int]:
    return [int(x) for x in (np.asarray(tokens) > 0).sum(1)]


def test_greedy_is_the_argmax_of_repeated_full_decodes(chatty: Frozen) -> None:
    reference = Reference(chatty)
    found = answer(chatty, choices(COUNT, TOKENS))
    assert len(set(lengths(found.tokens))) > 3  # a fair test: some rows end early
    for row, slot in enumerate(SOME.slot[:-1]):
        made: tuple[int, ...] = ()
        total = 0.0
        while len(made) < TOKENS and 1 not in made:
            following = reference.next_log_probability(OWN, slot, SOME.inputs[row], made)
            following[0] = -np.inf
            made += (int(following.argmax()),)
            total += following.max()
        assert found.tokens[row].tolist() == [*made, *[0] * (TOKENS - len(made))]
        np.testing.assert_allclose(found.score[row], total, rtol=1e-5)


@pytest.mark.parametrize(("method", "beams"), METHODS)
@pytest.mark.parametrize("seed", [0, 1])
def test_tokens_end_once_stay_in_range_and_keep_to_the_limit(
    chatty: Frozen, method: str, beams: int, seed: int
) -> None:
    wanted = wishes(COUNT, TOKENS, seed)
    wanted.limit[0] = 0
    found = answer(chatty, wanted, method, beams)
    for row, (tokens, length) in enumerate(
        zip(np.asarray(found.tokens), lengths(found.tokens), strict=True)
    ):
        assert ((tokens[:length] >= 1) & (tokens[:length] < 12)).all()
        assert not tokens[length:].any()
        assert not (tokens[: length - 1] == 1).any()
        limit = wanted.limit[row] if row < COUNT - 1 else 0
        assert length <= limit
        assert length == limit or tokens[length - 1] == 1


@pytest.mark.parametrize(("method", "beams"), METHODS)
def test_the_score_of_an_answer_is_what_scoring_the_answer_gives(
    chatty: Frozen, method: str, beams: int
) -> None:
    """For a sample too: its score knows no temperature and no nucleus."""
    found = answer(chatty, wishes(COUNT, TOKENS, seed=5), method, beams)
    again = score(chatty, OWN, Rows(SOME.inputs, found.tokens, SOME.slot))
    np.testing.assert_allclose(found.score, again.log_probability, rtol=1e-5)
    assert found.score[-1] == 0


@pytest.mark.parametrize(("method", "beams"), METHODS[:2])
def test_the_pass_stops_with_the_longest_row(chatty: Frozen, method: str, beams: int) -> None:
    for limit in (0, 1, 3, TOKENS):
        wanted = choices(COUNT, limit)
        found = answer(chatty, wanted, method, beams)
        assert found.steps[0] == max(lengths(found.tokens)) <= limit
    found = answer(chatty, choices(COUNT, TOKENS), method, beams)
    short = min(x for x in lengths(found.tokens) if x)
    wanted = choices(COUNT, TOKENS)
    wanted.limit[:] = [TOKENS if x == short else 0 for x in lengths(found.tokens)]
    alone = answer(chatty, wanted, method, beams)
    assert alone.steps[0] == short < TOKENS


@pytest.mark.parametrize(("method", "beams"), METHODS)
def test_a_batch_of_padding_takes_no_step(chatty: Frozen, method: str, beams: int) -> None:
    found = generate(
        chatty, OWN, SOME.inputs, np.array([-1, 4, 9, 4, 4, 4, 4, 4], np.int32),
        choices(COUNT, TOKENS), method=method, max_tokens=TOKENS, beams=beams,
    )  # fmt: skip
    assert found.steps[0] == 0
    assert not np.any(found.tokens)
    assert not np.any(found.score)


@pytest.mark.parametrize("poison", [np.nan, np.inf])
@pytest.mark.parametrize(("method", "beams"), METHODS)
def test_a_broken_prompt_ends_at_once_with_the_score_nan(
    chatty: Frozen, method: str, beams: int, poison: float
) -> None:
    values = OWN.values.copy()
    values[2, -1, 3] = poison
    found = generate(
        chatty, OWN._replace(values=values), SOME.inputs, SOME.slot, wishes(COUNT, TOKENS),
        method=method, max_tokens=TOKENS, beams=beams,
    )  # fmt: skip
    for row, slot in enumerate(SOME.slot):
        if slot == 2:
            assert found.tokens[row].tolist() == [1, *[0] * (TOKENS - 1)]
        assert np.isnan(found.score[row]) == (slot == 2)


def test_one_beam_is_greedy(chatty: Frozen) -> None:
    wanted = wishes(COUNT, TOKENS, seed=2)
    beam, greedy = answer(chatty, wanted, "beam", 1), answer(chatty, wanted)
    assert np.asarray(beam.tokens).tobytes() == np.asarray(greedy.tokens).tobytes()
    assert np.asarray(beam.score).tobytes() == np.asarray(greedy.score).tobytes()


def test_a_limit_beyond_max_tokens_is_max_tokens(chatty: Frozen) -> None:
    for method, beams in METHODS:
        wanted = choices(COUNT, TOKENS)
        plain = answer(chatty, wanted, method, beams)
        wanted.limit[:] = 2**31 - 1
        beyond = answer(chatty, wanted, method, beams)
        assert np.array_equal(plain.tokens, beyond.tokens)
        assert np.array_equal(plain.score, beyond.score)


def test_log_softmax_of_the_reference_sums_to_one() -> None:
    assert np.isclose(np.exp(log_softmax(np.array([1.0, 5.0, -3.0]))).sum(), 1)
