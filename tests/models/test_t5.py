"""Properties of the network that hold whatever its weights are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from ptsys.models.t5 import layers
from ptsys.models.t5.config import T5Config
from ptsys.models.t5.decoder import Encoded
from ptsys.models.t5.network import T5, abstract


def tokens(seed: int, rows: int, length: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(2, 90, (rows, length))


@pytest.mark.parametrize("reads", [True, False])
def test_decoding_step_by_step_equals_teacher_forcing(
    model: T5, config: T5Config, reads: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layers, "reads_memory", lambda *_: reads)
    encoded = model.encode(tokens(0, 3, 6))
    targets = tokens(1, 3, 5)
    expected = model.decode(encoded, targets)
    cross = model.decoder.cross(encoded, 5)
    empty = jnp.zeros((3, 5, config.num_heads, config.head_dim))
    cache = [(empty, empty)] * config.decoder_layers
    step = jax.jit(model.decoder.step)
    previous = np.zeros((3, 1), int)
    for position in range(5):
        x, cache = step(
            model.token_embedder(previous), jnp.asarray(position), cache, cross, encoded.mask
        )
        np.testing.assert_allclose(model.logits(x)[:, 0], expected[:, position], atol=2e-5)
        previous = targets[:, position : position + 1]


def test_padding_left_of_the_prompt_changes_nothing(model: T5, config: T5Config) -> None:
    inputs = tokens(0, 2, 6)
    prompt = jax.random.normal(jax.random.key(0), (2, 3, config.d_model))
    encode, decode = jax.jit(model.encode), jax.jit(model.decode)
    plain = encode(inputs, prompt)
    garbage = jnp.full((2, 4, config.d_model), 7.0)
    mask = jnp.arange(7)[None, :] >= jnp.array([4, 4])[:, None]
    padded = encode(inputs, jnp.concatenate([garbage, prompt], axis=1), mask)
    np.testing.assert_allclose(padded.memory[:, 4:], plain.memory, atol=2e-5)
    targets = tokens(1, 2, 4)
    np.testing.assert_allclose(decode(padded, targets), decode(plain, targets), atol=2e-5)


def test_padding_right_of_the_input_changes_nothing(model: T5) -> None:
    inputs, targets = tokens(0, 2, 6), tokens(1, 2, 4)
    encode, decode = jax.jit(model.encode), jax.jit(model.decode)
    plain = encode(inputs)
    padded = encode(np.pad(inputs, ((0, 0), (0, 9))))
    np.testing.assert_allclose(padded.memory[:, :6], plain.memory, atol=2e-5)
    np.testing.assert_allclose(decode(padded, targets), decode(plain, targets), atol=2e-5)


def test_later_targets_have_no_gradient_on_earlier_logits(model: T5) -> None:
    encoded = model.encode(tokens(0, 1, 4))
    x = model.token_embedder(tokens(1, 1, 5))

    def one_logit(x: jax.Array) -> jax.Array:
        return model.logits(model.decoder(x, encoded, model.execution))[0, 2].sum()

    gradient = np.asarray(jax.jit(jax.grad(one_logit))(x))[0]
    assert (gradient[3:] == 0).all()
    assert (np.abs(gradient[:3]).max(axis=1) > 0).all()


def test_a_row_whose_input_is_all_padding_stays_finite(model: T5) -> None:
    encoded = model.encode(np.zeros((1, 4), int))
    assert isinstance(encoded, Encoded)
    assert np.isfinite(model.decode(encoded, tokens(0, 1, 3))).all()


def test_every_parameter_names_its_axes(config: T5Config) -> None:
    known = {"vocab", "embed", "joined_kv", "mlp", "heads", "relpos_buckets"}
    variables = nnx.to_flat_state(nnx.state(abstract(config), nnx.Param))
    for path, variable in variables:
        axes = variable.get_metadata()["out_sharding"]
        assert len(axes) == len(variable.get_value().shape), path
        assert set(axes) <= known, path
