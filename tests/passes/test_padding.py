"""Buckets are invisible: padding of prompts, inputs, targets, rows and slots changes nothing."""

from __future__ import annotations

import numpy as np
import pytest
from text_passes import Gradients, Prompts, Rows, encode, generate, gradients
from tiny_batches import WIDTH, prompts, rows, wishes

from ptsys.models.t5.decoding import Choices
from ptsys.passes.frozen import Frozen

LENGTHS = [4, 0, 2, 3]
SLOTS = [0, 1, 2, 0, 1, 2]  # nobody uses slot 3

METHODS = [("greedy", 1), ("sample", 1), ("beam", 3)]


def widen(x: np.ndarray, axis: int, by: int, *, left: bool = False, fill: float = 0) -> np.ndarray:
    """`x` with `by` more entries along `axis`."""
    pads = [(0, 0)] * x.ndim
    pads[axis] = (by, 0) if left else (0, by)
    return np.pad(x, pads, constant_values=fill)


def padded(kind: str, own: Prompts, some: Rows) -> tuple[Prompts, Rows]:
    """The same batch in a larger bucket."""
    values, length = own
    inputs, targets, slot = some
    if kind == "all":
        for part in KINDS[1:]:
            own, some = padded(part, own, some)
        return own, some
    if kind == "prompt":
        values = widen(values, 1, 3, left=True)
    elif kind == "prompt with garbage on its left":
        values = widen(values, 1, 3, left=True, fill=np.nan)
    elif kind == "input":
        inputs = widen(inputs, 1, 5)
    elif kind == "target":
        targets = widen(targets, 1, 5)
    elif kind == "rows and slots":
        inputs, targets = widen(inputs, 0, 3, fill=9), widen(targets, 0, 3, fill=9)
        slot = widen(slot, 0, 3, fill=10_000)
        values, length = widen(values, 0, 3, fill=np.nan), widen(length, 0, 3, fill=4)
    return Prompts(values, length), Rows(inputs, targets, slot)


KINDS = ["prompt", "prompt with garbage on its left", "input", "target", "rows and slots"]


def assert_close(first: Gradients, second: Gradients, count: int) -> None:
    """Equal to 1e-5 of the largest entry, compared on the smaller of the two buckets."""
    users = first.loss.shape[0]
    np.testing.assert_allclose(first.loss, second.loss[:users], rtol=1e-5)
    np.testing.assert_array_equal(first.tokens, second.tokens[:users])
    np.testing.assert_allclose(first.row_loss[:count], second.row_loss[:count], rtol=1e-5)
    width = first.values.shape[1]
    scale = np.abs(first.values).max()
    np.testing.assert_allclose(
        first.values, second.values[:users, -width:], rtol=0, atol=1e-5 * scale
    )


@pytest.mark.parametrize("kind", KINDS)
def test_padding_changes_no_loss_and_no_gradient(frozen: Frozen, kind: str) -> None:
    own, some = prompts(LENGTHS, 4), rows(SLOTS)
    more, others = padded(kind, own, some)
    first, second = gradients(frozen, own, some), gradients(frozen, more, others)
    assert_close(first, second, len(SLOTS))
    grown = np.asarray(second.values)
    assert not np.any(grown[:4, : grown.shape[1] - 4])
    assert not np.any(grown[4:])


def test_padding_changes_no_encoding(frozen: Frozen) -> None:
    own, some = prompts(LENGTHS, 4), rows(SLOTS)
    first, second = encode(frozen, own, some), encode(frozen, *padded("all", own, some))
    np.testing.assert_allclose(first, second[:6], rtol=0, atol=1e-5)
    assert not np.any(second[6:])


@pytest.mark.parametrize(
    ("kind", "method", "beams"),
    [
        *(("all", *x) for x in METHODS),
        *((kind, "greedy", 1) for kind in KINDS if kind != "target"),
    ],
)
def test_padding_changes_no_answer(frozen: Frozen, kind: str, method: str, beams: int) -> None:
    own, some = prompts(LENGTHS, 4), rows(SLOTS)
    more, others = padded(kind, own, some)
    wanted = wishes(6, 5)
    extra = len(others.slot) - 6
    more_wanted = Choices(*(np.pad(x, (0, extra), constant_values=1) for x in wanted))
    how = {"method": method, "beams": beams}
    room = 9 if kind == "all" else 5
    first = generate(frozen, own, some.inputs, some.slot, wanted, max_tokens=5, **how)
    second = generate(frozen, more, others.inputs, others.slot, more_wanted, max_tokens=room, **how)
    np.testing.assert_array_equal(first.tokens, second.tokens[:6, :5])
    assert not np.any(second.tokens[:, 5:])
    np.testing.assert_allclose(first.score, second.score[:6], rtol=1e-5)
    assert not np.any(second.tokens[6:])
    assert not np.any(second.score[6:])


def test_prompts_of_different_lengths_together_equal_each_alone(frozen: Frozen) -> None:
    own, some = prompts(LENGTHS, 4), rows(SLOTS)
    together = gradients(frozen, own, some)
    for user, length in enumerate(LENGTHS[:3]):
        mine = some.slot == user
        values = own.values[user : user + 1, 4 - length :]
        one = Prompts(values, np.array([length], np.int32))
        few = Rows(some.inputs[mine], some.targets[mine], np.zeros(mine.sum(), np.int32))
        alone = gradients(frozen, one, few)
        np.testing.assert_allclose(together.loss[user], alone.loss[0], rtol=1e-5)
        scale = max(np.abs(alone.values).max(initial=0), 1e-9)
        np.testing.assert_allclose(
            together.values[user, 4 - length :], alone.values[0], rtol=0, atol=1e-5 * scale
        )


def test_a_slot_without_rows_or_without_target_tokens_has_exactly_zero_gradient(
    frozen: Frozen,
) -> None:
    own, some = prompts([4, 4, 4, 4], 4), rows([0, 2, 2, 0, 0, 2])
    some.targets[some.slot == 2] = 0
    found = gradients(frozen, own, some, np.ones(4, np.float32))
    assert np.any(found.values[0])
    assert not np.any(found.values[1:])
    assert np.array_equal(found.loss[1:], np.zeros(3))
    assert found.values.shape == (4, 4, WIDTH)
