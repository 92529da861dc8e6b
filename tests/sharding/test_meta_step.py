"""A step of meta-prompts is the same on one device and on a mesh of several."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from meta_prompts import random_meta, with_generator

from ptsys.kinds.batch import Rows
from ptsys.kinds.trees import Tree, shapes_of
from ptsys.models.execution import Execution
from ptsys.models.t5 import generator
from ptsys.models.t5.config import T5Config
from ptsys.models.t5.network import T5, create
from ptsys.passes.frozen import Frozen, freeze
from ptsys.passes.optimizers import SlotState, hyperparameters, initial_state
from ptsys.passes.train import TrainMetrics, train_step
from ptsys.prompts import meta_kind
from ptsys.prompts.meta_kind import written_layout
from ptsys.sharding.mesh import local_mesh
from ptsys.types.training import Optimizer

USERS, READINGS, EXAMPLES, SIZE, WIDTH, ROWS = 4, 2, 6, 12, 16, 16
CONFIG = T5Config(
    vocab_size=64,
    d_model=WIDTH,
    num_heads=4,
    head_dim=8,
    d_ff=32,
    encoder_layers=2,
    decoder_layers=1,
)
METAS = [random_meta(WIDTH, seed) for seed in range(USERS)]
WITH_GENERATORS = [with_generator(meta, CONFIG, seed) for seed, meta in enumerate(METAS)]
SGD = Optimizer(kind="sgd", learning_rate=0.5)


@pytest.fixture(scope="module")
def model() -> T5:
    return create(CONFIG)


def step(frozen: Frozen, shards: int, metas: list[Tree] = METAS) -> tuple[SlotState, TrainMetrics]:
    draw = np.random.default_rng(0)
    readings = USERS * READINGS
    examples = draw.integers(2, 64, (readings, EXAMPLES, SIZE)).astype(np.int32)
    examples[:, 4:] = 0
    tuned = draw.normal(size=(readings, 3, WIDTH)).astype(np.float32)
    context: dict[str, Any] = {
        meta_kind.EXAMPLES: examples,
        meta_kind.TEACHER: tuned,
        meta_kind.CENTRE: np.zeros_like(tuned),
        meta_kind.SCALE: np.ones((readings,), np.float32),
        meta_kind.PULL: np.full((readings, 4), 0.1, np.float32),
    }
    leaves = {
        name: initial_state(
            jnp.stack([jnp.asarray(meta[name]) for meta in metas]),
            jnp.full((USERS,), len(metas[0][name]), jnp.int32),
        )
        for name in metas[0]
    }
    per = USERS // shards
    slot = np.repeat(np.arange(readings), ROWS // readings).astype(np.int32)
    features = {
        "inputs": draw.integers(2, 64, (ROWS, 9)).astype(np.int32),
        "targets": draw.integers(2, 64, (ROWS, 3)).astype(np.int32),
    }
    size = (READINGS, EXAMPLES, SIZE)
    return train_step(
        frozen,
        SlotState(leaves, jnp.zeros((USERS,), jnp.int32)),
        dict.fromkeys(leaves, hyperparameters([SGD] * USERS, [4] * USERS)),
        np.arange(USERS, dtype=np.int32) % per,
        Rows(features, slot % (per * READINGS)),  # type: ignore[arg-type]
        context,
        layout=written_layout(shapes_of(metas[0]), *size, "each", taught=True),
    )


@pytest.mark.parametrize(
    ("data", "over", "metas"), [(1, 4, METAS), (4, 2, METAS), (2, 4, WITH_GENERATORS)]
)
def test_a_mesh_changes_nothing(model: T5, data: int, over: int, metas: list[Tree]) -> None:
    generator._template.cache_clear()  # so that it is made on the mesh
    spread, metrics = step(freeze(model, local_mesh(data, over)), data, metas)
    alone, told = step(freeze(model), 1, metas)
    for name, leaf in alone.leaves.items():
        moved = np.abs(np.asarray(leaf.value) - np.stack([meta[name] for meta in metas])).max()
        assert moved > 1e-4, name
        np.testing.assert_allclose(
            leaf.value, spread.leaves[name].value, rtol=0, atol=1e-5, err_msg=name
        )
    np.testing.assert_allclose(told.loss, metrics.loss, rtol=1e-5)


def test_reading_examples_a_few_at_a_time_changes_nothing(model: T5) -> None:
    whole = step(freeze(model, execution=Execution(chunk_positions=10**6)), 1)
    few = step(freeze(model, execution=Execution(chunk_positions=64)), 1)
    for one, other in zip(jax.tree.leaves(whole), jax.tree.leaves(few), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
