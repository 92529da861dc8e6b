"""The pretraining step: prompts are sums of traits, and each part learns from its own rows."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ptsys.data.mixture import KINDS
from ptsys.models.config import T5Config
from ptsys.models.execution import Execution
from ptsys.models.t5 import create
from ptsys.passes.frozen import Structure, freeze
from ptsys.passes.pretrain import (
    PretrainOptimizer,
    PretrainState,
    TaskRows,
    initial_state,
    optimizer,
    pretrain_step,
)

TRAITS, LENGTH = 5, 4
CONFIG = T5Config(
    vocab_size=40, d_model=8, num_heads=2, head_dim=4, d_ff=12, encoder_layers=1,
    decoder_layers=1, tie_embeddings=True,
)  # fmt: skip


@pytest.fixture(scope="module")
def structure() -> Structure:
    return freeze(create(CONFIG), execution=Execution(vocabulary_block=None)).structure


def rows(*kinds: str, traits: list[list[int]]) -> TaskRows:
    draw = np.random.default_rng(0)
    count = len(kinds)
    return TaskRows(
        jnp.asarray(draw.integers(2, 40, (count, 6)), jnp.int32),
        jnp.asarray(draw.integers(2, 40, (count, 3)), jnp.int32),
        jnp.asarray([KINDS.index(kind) for kind in kinds], jnp.int32),  # type: ignore[arg-type]
        jnp.asarray(traits, jnp.int32),
    )


def stepped(structure: Structure, given: TaskRows, steps: int = 1, noise: float = 0.0):
    transform = optimizer(PretrainOptimizer(warmup_steps=0), 100, structure)
    state = initial_state(create(CONFIG), TRAITS, LENGTH, transform, seed=0)
    found = []
    for _ in range(steps):
        state, metrics = pretrain_step(structure, transform, LENGTH, noise, state, given)
        found.append(metrics)
    return state, found


def moved(state: PretrainState) -> list[bool]:
    return (jnp.abs(state.trained.traits).max(axis=(1, 2)) > 0).tolist()


def test_a_row_teaches_its_traits_and_no_others(structure: Structure) -> None:
    given = rows("bank", "shared", traits=[[0, 3, TRAITS], [TRAITS] * 3])
    state, _ = stepped(structure, given)
    assert moved(state) == [True, False, False, True, False]
    first, other = state.trained.traits[0], state.trained.traits[3]
    np.testing.assert_allclose(first, other, rtol=1e-5)  # a sum: both have the same gradient


def test_rows_without_a_prompt_teach_no_prompt(structure: Structure) -> None:
    before, _ = stepped(structure, rows("promptless", traits=[[TRAITS]]), steps=0)
    state, [metrics] = stepped(structure, rows("promptless", traits=[[TRAITS]]))
    assert not any(moved(state))
    np.testing.assert_array_equal(state.trained.shared, before.trained.shared)
    assert metrics.rows.tolist() == [0, 0, 1]
    leaves = zip(state.trained.leaves, before.trained.leaves, strict=True)
    assert any(bool(jnp.any(new != old)) for new, old in leaves)


def test_the_loss_falls_and_noise_is_not_the_same_every_step(structure: Structure) -> None:
    given = rows("bank", "bank", traits=[[0, 1], [0, 2]])
    _, losses = stepped(structure, given, steps=30)
    assert losses[-1].loss.sum() < 0.7 * losses[0].loss.sum()
    state, [with_noise] = stepped(structure, given, noise=1.0)
    assert with_noise.loss.sum() != losses[0].loss.sum()
    later = state._replace(step=state.step + 7)
    transform = optimizer(PretrainOptimizer(warmup_steps=0), 100, structure)
    at = [
        pretrain_step(structure, transform, LENGTH, 1.0, jax.tree.map(jnp.copy, one), given)[
            1
        ].loss.sum()
        for one in (state, later)
    ]
    assert at[0] != at[1]
