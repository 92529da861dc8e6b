"""What a user gets depends on nothing that other users bring into the same batch.

Users share a compiled shape of 6 rows and 4 slots. User A owns slot 1 and the rows 1 and 4; all
else belongs to others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from text_passes import Prompts, Rows, emit, encode, generate, gradients, row_losses, score
from tiny_batches import bits, prompts, rows, wishes

from ptsys.models.t5.decoding import Choices
from ptsys.passes.frozen import Frozen

MINE = [1, 4]
MY_SLOT = 1
OTHERS = [0, 2, 3, 5]
TOKENS = 5

Batch = tuple[Prompts, Rows, Choices]
Outputs = dict[str, np.ndarray]


def company(seed: int) -> Batch:
    """A batch whose part of user A is always the same; the rest follows `seed`."""
    own_prompts = prompts([3, 3, 3, 3], 4, seed=1000)
    own_rows = rows([MY_SLOT] * 6, seed=1000)
    own_choices = wishes(6, TOKENS, seed=1000)
    random = np.random.default_rng(seed)
    lengths = [int(x) for x in random.integers(0, 5, 4)]
    lengths[MY_SLOT] = 3
    values, length = prompts(lengths, 4, seed=seed, scale=float(random.choice([0.1, 1, 30])))
    slot = [int(random.choice([0, 2, 3, 4, -1, 99])) for _ in range(6)]
    others, theirs = rows(slot, seed=seed), wishes(6, TOKENS, seed=seed)
    values[MY_SLOT] = own_prompts.values[MY_SLOT]
    for mixed, mine in zip([*others, *theirs], [*own_rows, *own_choices], strict=True):
        mixed[MINE] = mine[MINE]
    return Prompts(values, length), others, theirs


def everything(frozen: Frozen, batch: Batch) -> Iterator[tuple[str, np.ndarray]]:
    """Every output of every pass that belongs to user A."""
    own, theirs, wanted = batch
    found = gradients(frozen, own, theirs, np.full(4, 1e-2, np.float32))
    yield from {
        "loss": found.loss[MY_SLOT],
        "gradient": found.values[MY_SLOT],
        "row loss": found.row_loss[np.array(MINE)],
        "predicted": found.predicted[np.array(MINE)],
    }.items()
    scores = score(frozen, own, theirs)
    yield "label score", scores.log_probability[np.array(MINE)]
    yield "encoding", encode(frozen, own, theirs)[np.array(MINE)]
    for name, output in emit(frozen, own, theirs)._asdict().items():
        yield f"emitted {name}", output[np.array(MINE)]
    for method, beams in (("greedy", 1), ("sample", 1), ("beam", 3)):
        answer = generate(
            frozen, own, theirs.inputs, theirs.slot, wanted,
            method=method, max_tokens=TOKENS, beams=beams,
        )  # fmt: skip
        yield f"{method} tokens", answer.tokens[np.array(MINE)]
        yield f"{method} score", answer.score[np.array(MINE)]


def assert_same_bits(frozen: Frozen, batch: Batch, reference: dict[str, bytes]) -> None:
    for name, value in everything(frozen, batch):
        assert bits(value) == reference[name], f"{name} of user A changed with the company"


@pytest.fixture(scope="module")
def alone(frozen: Frozen) -> dict[str, bytes]:
    """User A's outputs, all other rows being padding."""
    own, theirs, wanted = company(1000)
    theirs.slot[OTHERS] = 99
    found = dict(everything(frozen, (own, theirs, wanted)))
    assert all(np.isfinite(x).all() for x in found.values())
    assert np.abs(found["gradient"]).max() > 0
    return {name: bits(value) for name, value in found.items()}


@given(seed=st.integers(0, 10_000))
@settings(max_examples=12, deadline=None)
def test_a_rows_bits_do_not_depend_on_its_company(
    frozen: Frozen, alone: dict[str, bytes], seed: int
) -> None:
    assert_same_bits(frozen, company(seed), alone)


def _nan(batch: Batch) -> None:
    batch[0].values[0] = np.nan


def _infinite(batch: Batch) -> None:
    batch[0].values[2, 1] = np.inf


def _huge(batch: Batch) -> None:
    batch[0].values[3] = 1e30


def _empty_rows(batch: Batch) -> None:
    batch[1].inputs[OTHERS] = 0
    batch[1].targets[OTHERS] = 0


def _only_end(batch: Batch) -> None:
    batch[1].targets[OTHERS] = [1, 0, 0, 0]


def _unknown_tokens(batch: Batch) -> None:
    batch[1].inputs[OTHERS] = 5_000
    batch[1].targets[OTHERS] = 5_000


def _no_prompt(batch: Batch) -> None:
    batch[0].length[[0, 2, 3]] = 0


def _strange_wishes(batch: Batch) -> None:
    batch[2].temperature[OTHERS] = [0, np.nan, np.inf, 1e-30]
    batch[2].top_p[OTHERS] = [0, np.nan, 1e-30, 2]
    batch[2].length_penalty[OTHERS] = [np.nan, 1e9, -5, np.inf]
    batch[2].limit[OTHERS] = [0, -1, 10_000, 2**31 - 1]


SPOILERS = [
    _nan, _infinite, _huge, _empty_rows, _only_end, _unknown_tokens, _no_prompt, _strange_wishes
]  # fmt: skip


@pytest.mark.parametrize("spoil", SPOILERS)
def test_one_users_broken_data_leaves_other_users_bits(
    frozen: Frozen, alone: dict[str, bytes], spoil: Callable[[Batch], None]
) -> None:
    batch = company(7)
    batch[1].slot[OTHERS] = [0, 2, 3, 0]
    spoil(batch)
    assert_same_bits(frozen, batch, alone)


def test_a_broken_prompt_breaks_its_own_results_only(frozen: Frozen) -> None:
    own, theirs, _ = company(7)
    theirs.slot[:] = [0, 1, 2, 3, 1, 2]
    own.values[0, -1, 0] = np.nan
    found = gradients(frozen, own, theirs)
    assert np.isnan(found.loss[0])
    assert np.isnan(found.values[0]).any()
    assert np.isfinite(found.loss[1:]).all()
    assert np.isfinite(found.values[1:]).all()
    assert np.isfinite(score(frozen, own, theirs).log_probability).tolist() == [False] + [True] * 5


@pytest.mark.parametrize("shift", [1, 2, 5])
def test_a_rows_place_in_the_batch_does_not_matter(frozen: Frozen, shift: int) -> None:
    """To 1e-6, and the tokens exactly: XLA's CPU products may add in another order in the last
    rows of a batch, so bits are promised for the same place only."""
    own, theirs, wanted = company(11)
    moved = Rows(*(np.roll(x, shift, axis=0) for x in theirs))
    moved_wanted = Choices(*(np.roll(x, shift, axis=0) for x in wanted))
    first, second = gradients(frozen, own, theirs), gradients(frozen, own, moved)
    scale = np.abs(first.values).max()
    np.testing.assert_allclose(np.roll(first.row_loss, shift), second.row_loss, rtol=1e-6)
    np.testing.assert_allclose(first.values, second.values, rtol=0, atol=1e-6 * scale)
    for method, beams in (("greedy", 1), ("sample", 1), ("beam", 3)):
        kind = {"method": method, "max_tokens": TOKENS, "beams": beams}
        here = generate(frozen, own, theirs.inputs, theirs.slot, wanted, **kind)
        there = generate(frozen, own, moved.inputs, moved.slot, moved_wanted, **kind)
        np.testing.assert_array_equal(np.roll(here.tokens, shift, axis=0), there.tokens)
        np.testing.assert_allclose(np.roll(here.score, shift), there.score, rtol=1e-6)


def test_a_users_loss_has_exactly_zero_gradient_on_another_users_prompt(frozen: Frozen) -> None:
    own = prompts([3, 4, 2, 1], 4)
    theirs = rows([0, 1, 2, 3, 1, 0])

    def losses(values: jax.Array) -> jax.Array:
        found = row_losses(frozen.model(), Prompts(values, own.length), theirs)
        return jax.numpy.zeros(4).at[theirs.slot].add(found.loss)

    influence = np.asarray(jax.jit(jax.jacrev(losses))(own.values))
    for loss in range(4):
        for prompt in range(4):
            reached = np.any(influence[loss, prompt] != 0)
            assert reached == (loss == prompt), f"loss of user {loss}, prompt of user {prompt}"


@pytest.mark.parametrize("slot", [-1, -4, 4, 2**31 - 1, -(2**31)])
def test_a_row_out_of_range_reads_and_reaches_no_slot(frozen: Frozen, slot: int) -> None:
    """A negative slot in particular must not count from the end."""
    own, theirs = prompts([3, 4, 2, 1], 4), rows([slot] * 6)
    z_loss = np.ones(4, np.float32)
    found = gradients(frozen, own, theirs, z_loss)
    others = prompts([1, 2, 3, 4], 4, seed=9)
    assert bits(found.row_loss) == bits(gradients(frozen, others, theirs, 2 * z_loss).row_loss)
    assert not np.any(found.values)
    assert not np.any(found.loss)
    assert not np.any(found.tokens)
    scores = score(frozen, own, theirs)
    assert not np.any(scores.log_probability)
    assert not np.any(scores.tokens)
