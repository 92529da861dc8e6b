"""The canonical flat form and the check that weights fit."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ptsys.errors import InvalidInput
from ptsys.models.parameters import (
    Deferred,
    expected_shapes,
    flat_parameters,
    load_flat,
    parameter_count,
)
from ptsys.models.t5.config import T5Config
from ptsys.models.t5.network import T5

KERNEL = "encoder.layers_0.mlp.wo.kernel"


@pytest.fixture
def flat(model: T5) -> dict[str, np.ndarray]:
    return {path: np.array(x) for path, x in flat_parameters(model).items()}


def test_a_model_survives_its_flat_form(
    model: T5, config: T5Config, flat: dict[str, np.ndarray], logits: Callable[[T5], np.ndarray]
) -> None:
    assert {path: x.shape for path, x in flat.items()} == expected_shapes(config)
    assert parameter_count(config) == sum(x.size for x in flat.values())
    np.testing.assert_array_equal(logits(load_flat(config, flat)), logits(model))


def test_the_error_names_what_is_missing_left_over_and_wrongly_shaped(
    config: T5Config, flat: dict[str, np.ndarray]
) -> None:
    del flat["encoder.encoder_norm.scale"]
    flat["encoder.surplus"] = np.ones(3, np.float32)
    flat[KERNEL] = flat[KERNEL].T
    with pytest.raises(InvalidInput) as error:
        load_flat(config, flat)
    message = str(error.value)
    assert "1 missing (encoder.encoder_norm.scale)" in message
    assert "1 left over (encoder.surplus)" in message
    assert f"1 wrongly shaped ({KERNEL} is [32, 48], expected [48, 32])" in message
    assert error.value.field == "weights"


def test_nothing_is_read_when_the_shapes_do_not_fit(config: T5Config) -> None:
    def read() -> np.ndarray:
        raise AssertionError("read although other tensors are missing")

    with pytest.raises(InvalidInput, match="missing"):
        load_flat(config, {KERNEL: Deferred((48, 32), read)})


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(
    config: T5Config, flat: dict[str, np.ndarray], value: float
) -> None:
    flat[KERNEL][3, 4] = value
    for held in (flat[KERNEL], jnp.asarray(flat[KERNEL])):
        with pytest.raises(InvalidInput, match=r"NaN or infinite.*bfloat16 or float32") as error:
            load_flat(config, flat | {KERNEL: held})
        assert error.value.field == KERNEL


def test_weights_that_overflow_float32_are_refused(
    config: T5Config, flat: dict[str, np.ndarray]
) -> None:
    wide = flat[KERNEL].astype(np.float64)
    wide[0, 0] = 1e300
    with pytest.raises(InvalidInput, match="NaN or infinite"):
        load_flat(config, flat | {KERNEL: wide})


def test_integer_weights_are_refused(config: T5Config, flat: dict[str, np.ndarray]) -> None:
    with pytest.raises(InvalidInput, match="floating point"):
        load_flat(config, flat | {KERNEL: np.zeros((48, 32), np.int32)})


def test_weights_are_cast_and_placed_as_asked(
    config: T5Config, flat: dict[str, np.ndarray]
) -> None:
    mesh = jax.make_mesh((8,), ("model",), axis_types=(jax.sharding.AxisType.Auto,))
    split = jax.sharding.NamedSharding(mesh, jax.P(None, "model"))
    whole = jax.sharding.NamedSharding(mesh, jax.P())
    shardings = {
        path: split if path.endswith("wo.kernel") else whole for path in expected_shapes(config)
    }
    model = load_flat(config, flat, dtype=jnp.bfloat16, shardings=shardings)
    for path, array in flat_parameters(model).items():
        assert array.dtype == jnp.bfloat16
        assert array.sharding == shardings[path]


def test_the_model_does_not_share_memory_with_the_arrays_it_came_from(
    config: T5Config, flat: dict[str, np.ndarray]
) -> None:
    model = load_flat(config, flat)
    before = np.array(flat_parameters(model)[KERNEL])
    flat[KERNEL][:] = 0
    np.testing.assert_array_equal(flat_parameters(model)[KERNEL], before)
