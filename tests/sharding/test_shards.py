"""Passes spread over data shards give what one device gives."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from text_passes import Prompts, Rows, generate, gradients, initial_state, score, train_step

from ptsys.models.execution import Execution
from ptsys.models.t5.config import T5Config
from ptsys.models.t5.decoding import choices
from ptsys.models.t5.kind import chunk_size
from ptsys.models.t5.network import T5, create
from ptsys.passes.frozen import freeze
from ptsys.passes.optimizers import hyperparameters
from ptsys.sharding.mesh import local_mesh
from ptsys.types.training import Optimizer

SLOTS, WIDTH, ROWS_, INPUTS, TARGETS = 8, 4, 48, 60, 4  # 48 rows are several chunks of 8


@pytest.fixture(scope="module")
def model() -> T5:
    return create(
        T5Config(
            vocab_size=64,
            d_model=16,
            num_heads=2,
            head_dim=8,
            d_ff=32,
            encoder_layers=1,
            decoder_layers=1,
        )
    )


def batch(seed: int = 0) -> tuple[Prompts, Rows]:
    random = np.random.default_rng(seed)
    prompts = Prompts(
        jnp.asarray(random.normal(size=(SLOTS, WIDTH, 16)), jnp.float32),
        jnp.full((SLOTS,), WIDTH, jnp.int32),
    )
    inputs = random.integers(2, 64, (ROWS_, INPUTS)).astype(np.int32)
    targets = random.integers(2, 64, (ROWS_, TARGETS)).astype(np.int32)
    slot = np.repeat(np.arange(SLOTS), ROWS_ // SLOTS).astype(np.int32)
    slot[5] = slot[-3] = SLOTS  # padding
    return prompts, Rows(jnp.asarray(inputs), jnp.asarray(targets), jnp.asarray(slot))


def test_the_rows_of_these_tests_are_several_chunks() -> None:
    assert chunk_size(WIDTH, INPUTS, ROWS_, Execution()).rows * 2 < ROWS_


def local(rows: Rows, shards: int) -> Rows:
    """Slots lie on the shards one after another; each shard counts its own from 0."""
    per = SLOTS // shards
    return rows._replace(slot=jnp.where(rows.slot < SLOTS, rows.slot % per, per))


@pytest.mark.parametrize("shards", [2, 4, 8])
def test_gradients_and_answers_equal_those_of_one_device(model: T5, shards: int) -> None:
    alone, spread = freeze(model), freeze(model, local_mesh(shards))
    prompts, rows = batch()
    here = gradients(alone, prompts, rows)
    there = gradients(spread, prompts, local(rows, shards))
    for name, one, many in zip(here._fields, here, there, strict=True):
        np.testing.assert_allclose(one, many, rtol=1e-5, atol=1e-6, err_msg=name)
    assert np.abs(here.values).max() > 1e-3
    scores = score(alone, prompts, rows), score(spread, prompts, rows)
    np.testing.assert_allclose(scores[0].log_probability, scores[1].log_probability, rtol=1e-5)
    wanted = choices(ROWS_, 6)
    for method, beams in (("greedy", 1), ("sample", 1), ("beam", 2)):
        kind = {"method": method, "max_tokens": 6, "beams": beams}
        one = generate(alone, prompts, rows.inputs, rows.slot, wanted, **kind)
        many = generate(spread, prompts, rows.inputs, rows.slot, wanted, **kind)
        np.testing.assert_array_equal(one.tokens, many.tokens)
        assert max(one.steps) == max(many.steps)


@pytest.mark.parametrize("shards", [2, 4])
def test_every_shard_trains_its_own_slots(model: T5, shards: int) -> None:
    prompts, rows = batch()
    optimizers = [
        Optimizer(kind=kind, learning_rate=0.1)  # type: ignore[arg-type]
        for kind in ("adafactor", "adamw", "sgd", "adamw") * 2
    ]
    hyper = jax.tree.map(jnp.asarray, hyperparameters(optimizers, [10] * SLOTS))
    everyone = jnp.arange(SLOTS, dtype=jnp.int32)
    alone, alone_metrics = train_step(
        freeze(model), initial_state(*jax.tree.map(jnp.copy, prompts)), hyper, everyone, rows
    )
    per = SLOTS // shards
    spread, metrics = train_step(
        freeze(model, local_mesh(shards)),
        initial_state(*jax.tree.map(jnp.copy, prompts)),
        hyper,
        everyone % per,
        local(rows, shards),
    )
    np.testing.assert_allclose(alone.prompt, spread.prompt, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(alone_metrics.loss, metrics.loss, rtol=1e-5)
    assert np.abs(np.asarray(alone.prompt - prompts.values)).max() > 1e-3


def test_chunks_change_nothing(model: T5) -> None:
    prompts, rows = batch()
    chunked = gradients(freeze(model), prompts, rows)
    whole = gradients(freeze(model, execution=Execution(chunk_positions=10**9)), prompts, rows)
    for name, one, many in zip(whole._fields, whole, chunked, strict=True):
        np.testing.assert_allclose(one, many, rtol=1e-5, atol=1e-6, err_msg=name)
