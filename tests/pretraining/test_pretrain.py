"""The pretraining step: prompts are sums of traits, and each part learns from its own rows."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ptsys.models.execution import Execution
from ptsys.models.t5.config import T5Config
from ptsys.models.t5.network import create
from ptsys.passes.frozen import Structure, freeze
from ptsys.pretraining.mixture import KINDS
from ptsys.pretraining.step import (
    PretrainOptimizer,
    PretrainState,
    Steering,
    TaskRows,
    bank_changes,
    initial_state,
    optimizer,
    pretrain_step,
)

TRAITS, LENGTH = 5, 4
OPTIMIZER = PretrainOptimizer(warmup_steps=1)
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
    transform = optimizer(OPTIMIZER, structure)
    state = initial_state(create(CONFIG), TRAITS, LENGTH, transform, seed=0)
    found = []
    for _ in range(steps):
        state, metrics = step(structure, transform, state, given, noise)
        found.append(metrics)
    return state, found


def step(structure: Structure, transform, state: PretrainState, given: TaskRows, noise: float):
    """One step that sees every row of `given`: eight are drawn for each."""
    count = len(given.kind)
    steering = Steering(noise=noise, short=2, short_share=0.5)
    return pretrain_step(structure, transform, 8 * count, steering, state, given, jnp.int32(count))


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
    assert metrics.rows.tolist() == [0, 0, 8]
    leaves = zip(state.trained.leaves, before.trained.leaves, strict=True)
    assert any(bool(jnp.any(new != old)) for new, old in leaves)


def test_the_loss_falls_and_noise_is_not_the_same_every_step(structure: Structure) -> None:
    given = rows("bank", "bank", traits=[[0, 1], [0, 2]])
    _, losses = stepped(structure, given, steps=30)
    assert losses[-1].loss.sum() < 0.7 * losses[0].loss.sum()
    state, [with_noise] = stepped(structure, given, noise=1.0)
    assert with_noise.loss.sum() != losses[0].loss.sum()
    later = state._replace(step=state.step + 7)
    transform = optimizer(OPTIMIZER, structure)
    at = [
        step(structure, transform, jax.tree.map(jnp.copy, one), given, 1.0)[1].loss.sum()
        for one in (state, later)
    ]
    assert at[0] != at[1]


def test_a_bank_prompt_is_never_farther_than_its_bound(structure: Structure) -> None:
    transform = optimizer(OPTIMIZER, structure)
    trained = initial_state(create(CONFIG), TRAITS, LENGTH, transform, seed=0).trained
    size = float(jnp.sqrt(jnp.mean(jnp.square(trained.shared))))
    traits = jnp.asarray([[0, 1, TRAITS], [2, TRAITS, TRAITS], [TRAITS] * 3])
    for scale, low in ((1e-4, 0.0), (1e4, 0.45)):
        drawn = scale * jax.random.normal(jax.random.key(1), trained.traits.shape)
        changes = bank_changes(trained._replace(traits=drawn), traits, 0.5)
        far = np.sqrt(np.mean(np.square(changes), axis=(1, 2))) / size
        assert (far[:2] >= low).all()
        assert (far <= 0.5 + 1e-4).all()
        assert far[2] == 0
    small = bank_changes(trained._replace(traits=trained.traits + 1e-4), traits, 0.5)
    np.testing.assert_allclose(small[0], 2e-4, rtol=1e-3)  # near zero it is the sum itself


def test_a_gradient_that_is_not_finite_changes_nothing_but_the_count(structure: Structure) -> None:
    given = rows("bank", "shared", traits=[[0, 1], [TRAITS, TRAITS]])
    transform = optimizer(OPTIMIZER, structure)
    state = initial_state(create(CONFIG), TRAITS, LENGTH, transform, seed=0)
    broken = state._replace(
        trained=state.trained._replace(shared=state.trained.shared.at[0, 0].set(jnp.nan))
    )
    before = jax.tree.map(np.array, broken)
    after, _ = step(structure, transform, broken, given, 0.0)
    assert after.step == before.step + 1
    jax.tree.map(np.testing.assert_array_equal, after.trained, before.trained)
    jax.tree.map(np.testing.assert_array_equal, after.optimizer, before.optimizer)
