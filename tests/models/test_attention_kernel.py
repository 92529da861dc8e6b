"""The TPU kernel's attention, run in Pallas's interpreter, is attention under T5's bias."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from ptsys.models.t5 import attention_kernel
from ptsys.models.t5.attention import attend, mask_bias
from ptsys.models.t5.attention_kernel import attend_in_kernel, supports
from ptsys.models.t5.config import T5Config
from ptsys.models.t5.layers import RelativeBias

ROWS, HEADS, DIM = 2, 4, 64
CONFIG = T5Config(
    vocab_size=8,
    d_model=16,
    num_heads=HEADS,
    head_dim=DIM,
    d_ff=8,
    encoder_layers=1,
    decoder_layers=1,
    relative_buckets=8,
    relative_max_distance=12,
)

Arrays = tuple[jax.Array, ...]


@pytest.fixture(scope="module")
def table() -> RelativeBias:
    return RelativeBias(nnx.Rngs(params=0), CONFIG, bidirectional=True)


def given(count: int, seed: int = 0) -> tuple[Arrays, jax.Array]:
    """Queries, keys, values, and the mask of two rows: one half full, with a gap on its left."""
    random = np.random.default_rng(seed)
    shape = (ROWS, count, HEADS, DIM)
    moving = tuple(jnp.asarray(random.normal(size=shape) / 4, jnp.float32) for _ in range(3))
    place = np.arange(count)
    seen = np.stack([np.ones(count, bool), (place > 0) & (place <= count // 2)])
    return moving, mask_bias(jnp.asarray(seen))


def by_kernel(moving: Arrays, mask: jax.Array, table: RelativeBias) -> jax.Array:
    diagonals = table.diagonals(moving[0].shape[1])
    return attend_in_kernel(*moving, diagonals, mask, True)


def by_matrix(moving: Arrays, mask: jax.Array, table: RelativeBias) -> jax.Array:
    place = jnp.arange(moving[0].shape[1])
    return attend(*moving, table(place, place) + mask[:, None, None, :])


@pytest.mark.parametrize(
    ("count", "whole", "block"),
    [(20, 512, 0), (48, 16, 16), (21, 8, 8)],
    ids=["one block", "three blocks", "blocks that the positions do not fill"],
)
def test_values_and_gradients_are_those_of_whole_scores(
    count: int, whole: int, block: int, table: RelativeBias, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention_kernel, "_WHOLE", whole)
    monkeypatch.setattr(attention_kernel, "_BLOCKS", ((64, block),))
    moving, mask = given(count)
    weight = given(count, seed=1)[0][0]

    def both(by: object) -> object:
        return jax.value_and_grad(lambda moving: jnp.sum(by(moving, mask, table) * weight))(moving)  # type: ignore[operator]

    for x, y in zip(
        jax.tree.leaves(both(by_kernel)), jax.tree.leaves(both(by_matrix)), strict=True
    ):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)


def test_masked_keys_are_not_seen_and_have_no_gradient(table: RelativeBias) -> None:
    moving, mask = given(16)
    far = moving[2].at[1, 9:].set(1e6)
    same = by_kernel((*moving[:2], far), mask, table)
    np.testing.assert_array_equal(same[1], by_kernel(moving, mask, table)[1])
    of_values = jax.grad(lambda value: jnp.sum(by_kernel((*moving[:2], value), mask, table)))(far)
    assert not of_values[1, 9:].any()
    assert of_values[1, 1:9].all()


def test_the_bias_and_the_mask_have_no_gradient(table: RelativeBias) -> None:
    moving, mask = given(8)

    def total(diagonals: jax.Array, mask: jax.Array) -> jax.Array:
        return jnp.sum(attend_in_kernel(*moving, diagonals, mask, True) ** 2)

    for gradient in jax.grad(total, (0, 1))(table.diagonals(8), mask):
        assert not gradient.any()


def test_elsewhere_than_on_a_tpu_the_same_is_computed_without_it(table: RelativeBias) -> None:
    moving, mask = given(12)
    found = attend_in_kernel(*moving, table.diagonals(12), mask)
    np.testing.assert_allclose(found, by_matrix(moving, mask, table), rtol=1e-5, atol=1e-6)


def test_diagonals_are_the_bias_by_distance(table: RelativeBias) -> None:
    place = jnp.arange(9)
    whole, found = table(place, place)[0], table.diagonals(9)
    for query in range(9):
        for key in range(9):
            np.testing.assert_array_equal(found[:, 8 + key - query], whole[:, query, key])


def test_heads_must_fill_the_lanes() -> None:
    assert supports(32, 64, 356)
    assert supports(2, 64, 356)
    assert not supports(3, 64, 356)
    assert not supports(32, 64, 5000)
    assert not supports(8, 48, 64)
    assert supports(12, 64, 356, shards=2)
    assert not supports(12, 64, 356, shards=4)  # three heads on each
