"""8-bit kernels: how far they are from the weights, and that passes and meshes take them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from text_passes import Prompts, Rows, gradients

from ptsys.models.parameters import flat_parameters
from ptsys.models.quantization import quantize, quantized
from ptsys.models.registry import load_builtin
from ptsys.models.t5.config import T5Config
from ptsys.models.t5.network import T5, create
from ptsys.passes.frozen import freeze
from ptsys.sharding.mesh import make_mesh


def test_a_column_is_off_by_half_its_scale_at_most() -> None:
    kernel = np.random.default_rng(0).normal(size=(64, 32)).astype(np.float32)
    kernel[:, 3] = 0
    kernel[:, 5] *= 1e4  # a loud channel does not blur the others
    values, scale = quantized(jnp.asarray(kernel))
    assert values.dtype == jnp.int8
    error = np.abs(np.asarray(values, np.float32) * np.asarray(scale) - kernel)
    assert (error <= np.asarray(scale) * 0.501).all()
    assert (error[:, 3] == 0).all()


def batch(d_model: int, vocabulary: int, rows: int) -> tuple[Prompts, Rows]:
    random = np.random.default_rng(1)
    prompts = Prompts(
        jnp.asarray(random.normal(size=(2, 4, d_model)), jnp.float32), jnp.full((2,), 4, jnp.int32)
    )
    inputs = random.integers(2, vocabulary, (rows, 12)).astype(np.int32)
    targets = random.integers(2, vocabulary, (rows, 3)).astype(np.int32)
    return prompts, Rows(inputs, targets, np.arange(rows, dtype=np.int32) % 2)  # type: ignore[arg-type]


def test_the_builtin_model_in_8_bits_is_nearly_the_same_and_smaller() -> None:
    model = load_builtin("tiny").model
    small = quantize(model)
    prompts, rows = batch(model.config.d_model, model.config.vocab_size, 16)
    exact, near = (gradients(freeze(m), prompts, rows) for m in (model, small))
    assert np.abs(near.loss - exact.loss).max() < 0.02 * np.abs(exact.loss).max()
    a, b = np.asarray(exact.values).ravel(), np.asarray(near.values).ravel()
    assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) > 0.99
    assert (a != b).any()

    def kernels(m: T5) -> int:
        return sum(x.nbytes for path, x in flat_parameters(m).items() if "kernel" in path)

    assert kernels(small) * 3.9 < kernels(model)


@pytest.mark.parametrize("across", [2, 4])
def test_8_bits_on_a_mesh_equal_8_bits_on_one_device(across: int) -> None:
    config = T5Config(
        vocab_size=64, d_model=16, num_heads=4, head_dim=4, d_ff=32, encoder_layers=1,
        decoder_layers=1,
    )  # fmt: skip
    model = create(config)
    prompts, rows = batch(16, 64, 8)
    here = gradients(freeze(quantize(model)), prompts, rows)
    mesh = make_mesh(jax.devices()[:across], model=across)
    spread = freeze(quantize(freeze(model, mesh).model()), mesh)
    there = gradients(spread, prompts, rows)
    for one, many in zip(here, there, strict=True):
        np.testing.assert_allclose(one, many, rtol=1e-4, atol=1e-4)
    scales = [x for x in spread.leaves if x.ndim == 1 and x.shape == (32,)]
    assert scales
    assert all(x.addressable_shards[0].data.shape == (32 // across,) for x in scales)
