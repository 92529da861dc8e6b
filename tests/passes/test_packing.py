"""Packed rows cost their positions and give what padded rows give."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
from text_passes import Prompts, Rows, gradients, row_losses

from ptsys.models.execution import Execution
from ptsys.models.t5.config import T5Config
from ptsys.models.t5.kind import chunk_size
from ptsys.models.t5.network import create
from ptsys.models.t5.packing import packing
from ptsys.passes.frozen import freeze

CONFIG = T5Config(
    vocab_size=64, d_model=16, num_heads=2, head_dim=8, d_ff=32, encoder_layers=2, decoder_layers=1
)


def test_packing_and_unpacking_undo_each_other_and_differentiate() -> None:
    random = np.random.default_rng(0)
    lengths = np.array([3, 0, 5, 1])
    mask = jnp.asarray(np.arange(6)[None] < lengths[:, None])
    found = packing(mask, 12)
    x = jnp.asarray(random.normal(size=(4, 6, 2)), jnp.float32)
    packed = found.pack(x)
    np.testing.assert_array_equal(packed[:9], x[mask])
    assert not packed[9:].any()
    np.testing.assert_array_equal(found.unpack(packed), jnp.where(mask[..., None], x, 0))
    weight = jnp.asarray(random.normal(size=(12, 2)), jnp.float32)
    gradient = jax.grad(lambda x: jnp.sum(found.pack(x) * weight))(x)
    np.testing.assert_array_equal(gradient, jnp.where(mask[..., None], found.unpack(weight), 0))


def test_packed_rows_give_the_losses_and_gradients_of_padded_ones() -> None:
    random = np.random.default_rng(1)
    model = create(CONFIG)
    values = jnp.asarray(random.normal(size=(3, 4, 16)), jnp.float32)
    length = jnp.array([4, 1, 3])
    inputs = random.integers(2, 64, (5, 10)) * (
        np.arange(10) < np.array([[10], [1], [4], [7], [2]])
    )
    targets = random.integers(2, 64, (5, 3)) * (np.arange(3) < np.array([[3], [1], [2], [3], [1]]))
    slot = np.array([0, 1, 2, 1, 0])
    rows = Rows(*(jnp.asarray(x, jnp.int32) for x in (inputs, targets, slot)))
    real = int((inputs > 0).sum() + np.asarray(length)[slot].sum())

    def loss(values: jax.Array, capacity: int | None) -> jax.Array:
        return jnp.sum(row_losses(model, Prompts(values, length), rows, capacity=capacity).loss)

    want, wanted = jax.value_and_grad(loss)(values, None)
    for capacity in (real, real + 9):
        found, gradient = jax.value_and_grad(loss)(values, capacity)
        np.testing.assert_allclose(found, want, rtol=1e-5)
        np.testing.assert_allclose(gradient, wanted, rtol=1e-4, atol=1e-5)
    assert not np.isclose(loss(values, real - 12), want)  # what is beyond is lost


def test_a_chunk_packs_twice_the_rows_into_the_positions_of_full_ones() -> None:
    size = functools.partial(chunk_size, packed=True)
    assert size(16, 32, 64, Execution()) == (8, None)  # too short to be worth it
    assert size(16, 64, 8, Execution()) == (8, None)  # one chunk anyway
    assert size(16, 64, 64, Execution()) == (16, 8 * 80)
    assert size(100, 256, 256, Execution(chunk_positions=356 * 64)) == (128, 64 * 356)
    assert chunk_size(16, 64, 64, Execution()) == (8, None)


def test_ragged_and_full_rows_packed_give_what_padded_chunks_give() -> None:
    random = np.random.default_rng(2)
    frozen = freeze(create(CONFIG))
    prompts = Prompts(jnp.asarray(random.normal(size=(4, 4, 16)), jnp.float32), jnp.full((4,), 4))
    for least in (64, 5):  # full rows come eight at a time, short ones up to sixteen
        lengths = random.integers(least, 65, 48)
        inputs = random.integers(2, 64, (48, 64)) * (np.arange(64) < lengths[:, None])
        targets = random.integers(2, 64, (48, 3))
        slot = np.arange(48) % 4
        rows = Rows(*(jnp.asarray(x, jnp.int32) for x in (inputs, targets, slot)))
        packed = gradients(frozen, prompts, rows, packed=True)
        alone = [
            gradients(frozen, prompts, Rows(*(x[i : i + 8] for x in rows))).row_loss
            for i in range(0, 48, 8)
        ]
        np.testing.assert_allclose(packed.row_loss, np.concatenate(alone), rtol=1e-4)
        one = Rows(*(x[:8] for x in rows))
        few = rows._replace(slot=jnp.where(jnp.arange(48) < 8, rows.slot, 4))
        np.testing.assert_allclose(
            gradients(frozen, prompts, few, packed=True).values,
            gradients(frozen, prompts, one).values,
            rtol=1e-3,
            atol=1e-5,
        )
