"""Residents learn, each for itself; the frozen model and the absent never change."""

from __future__ import annotations

import hashlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from text_passes import Rows, SlotState, train_step
from tiny_batches import WIDTH, bits, prompts, rows

from ptsys.passes.frozen import Frozen
from ptsys.passes.optimizers import Hyperparameters, hyperparameters
from ptsys.passes.train import TrainMetrics
from ptsys.types.training import Optimizer

pytestmark = pytest.mark.filterwarnings("error:Some donated buffers were not usable")

SLOTS = 6  # of the device
OPTIMIZERS = [
    Optimizer(kind="adafactor", learning_rate=0.1, weight_decay=1e-3, z_loss=1e-3),
    Optimizer(kind="adamw", learning_rate=0.03, weight_decay=0.1, warmup_steps=3),
    Optimizer(kind="sgd", learning_rate=0.3, momentum=0.5, decay="cosine"),
] * 2
HYPER = hyperparameters(OPTIMIZERS, [20] * SLOTS)


def start(seed: int = 0) -> SlotState:
    """Slots in the middle of their training; the caller may give it away."""
    own = prompts([4, 2, 3, 1, 4, 2], 4, seed=seed, scale=0.5)
    random = np.random.default_rng(seed)
    first = random.normal(size=own.values.shape).astype(np.float32) * (own.values != 0)
    return SlotState(
        prompt=jnp.asarray(own.values),
        length=jnp.asarray(own.length),
        first=jnp.asarray(first * 0.01),
        second=jnp.asarray(first**2 * 0.01),
        step=jnp.asarray(random.integers(1, 5, SLOTS), jnp.int32),
    )


def go(
    frozen: Frozen,
    state: SlotState,
    residents: list[int],
    some: Rows,
    hyper: Hyperparameters = HYPER,
) -> tuple[SlotState, TrainMetrics]:
    """Residents are padded to one compiled shape, but a lonely one."""
    if len(residents) > 1:
        residents = [*residents, *[99] * (SLOTS - len(residents))]
    return train_step(frozen, state, hyper, np.array(residents, np.int32), some)


def slot_bits(state: SlotState, slot: int) -> list[bytes]:
    return [bits(np.asarray(x)[slot]) for x in state]


def test_only_residents_with_rows_change(frozen: Frozen) -> None:
    """Slot 3 takes part without a row, slot 1 with a row that has no target; 6 and -1 are no
    slots; 0 and 5 are absent, and one of them is broken."""
    state = start()
    state = state._replace(prompt=state.prompt.at[5].set(jnp.nan))
    before = [slot_bits(state, i) for i in range(SLOTS)]
    some = rows([0, 3, 0, 3, 2, -1, 99, -1])
    some.targets[4] = 0
    after, metrics = go(frozen, state, [2, 3, 1, 4, 6, -1], some)
    changed = [slot_bits(after, i) != before[i] for i in range(SLOTS)]
    assert changed == [False, False, True, False, True, False]
    assert (np.asarray(metrics.loss) > 0).tolist() == [True, False, False, True, False, False]


def test_a_resident_alone_equals_the_same_among_others(frozen: Frozen) -> None:
    lonely, social = start(), start()
    for seed in range(20):
        mine = rows([0, 0], seed=seed)
        theirs = rows([0, 1, 0, 2, 3, 1, 2, 3], seed=100 + seed)
        for mixed, own in zip(theirs[:2], mine[:2], strict=True):
            mixed[[0, 2]] = own
        lonely, _ = go(frozen, lonely, [4], mine)
        social, _ = go(frozen, social, [4, 0, 1, 5], theirs)
    assert lonely.step[4] == social.step[4]
    for a, b in zip(lonely, social, strict=True):
        scale = float(np.abs(np.asarray(a[4])).max()) or 1.0
        np.testing.assert_allclose(a[4], b[4], rtol=0, atol=1e-5 * scale)


def test_a_broken_neighbour_leaves_the_bits_of_a_training_run(frozen: Frozen) -> None:
    """In the same compiled shape, for every neighbour that goes wrong in its own way."""
    ends = []
    for poison in (0.0, np.nan, np.inf, 1e30):
        state = start()
        state = state._replace(prompt=state.prompt.at[0].add(poison))
        for seed in range(3):
            theirs = rows([0, 1, 0, 2, 3, 1, 2, 3], seed=seed)
            state, _ = go(frozen, state, [4, 0, 1, 5], theirs)
        ends.append([slot_bits(state, slot) for slot in (1, 4, 5)])
    assert ends[0] == ends[1] == ends[2] == ends[3]


def test_every_kind_learns_and_the_frozen_weights_stay(frozen: Frozen) -> None:
    def digest() -> str:
        return hashlib.sha256(b"".join(bits(x) for x in frozen.leaves)).hexdigest()

    before = digest()
    state, some = start(3), rows([0, 1, 2, 3, 0, 1, 2, 3], seed=1)
    losses = []
    for _ in range(30):
        state, metrics = go(frozen, state, [0, 1, 2, 5], some)
        losses.append(np.asarray(metrics.loss))
    assert (losses[-1][:4] < losses[0][:4] - 0.1).all()
    assert digest() == before


def test_the_gradient_norm_is_that_of_the_resident(frozen: Frozen) -> None:
    """Seen through plain SGD at rate 1: the change of the prompt is the gradient."""
    plain = hyperparameters([Optimizer(kind="sgd", learning_rate=1)] * SLOTS, [20] * SLOTS)
    state = start()
    state = state._replace(first=jnp.zeros_like(state.first))
    before = np.asarray(state.prompt)
    after, metrics = go(frozen, state, [5, 1, 9, 9], rows([0, 1, 0, 2, 3, 1, 2, 3]), plain)
    change = np.asarray(after.prompt) - before
    norms = np.sqrt((change[[5, 1]].reshape(2, -1) ** 2).sum(1))
    np.testing.assert_allclose(metrics.gradient_norm[:2], norms, rtol=1e-4)
    assert change.shape == (SLOTS, 4, WIDTH)


def test_a_step_reuses_the_memory_of_the_state(frozen: Frozen) -> None:
    """`state` is given away: prompts and optimizer states are not held twice."""
    state = start()
    go(frozen, state, [0, 1, 2, 5], rows([0, 1, 2, 3, 0, 1, 2, 3]))
    assert all(x.is_deleted() for x in jax.tree.leaves(state))
