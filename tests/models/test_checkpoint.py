"""Our Orbax form."""

import json
from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ptsys.errors import Conflict, InvalidInput
from ptsys.models.checkpoint import load_model, save_model
from ptsys.models.fingerprint import fingerprint
from ptsys.models.parameters import expected_shapes, flat_parameters
from ptsys.models.t5.config import T5Config
from ptsys.models.t5.network import T5


def test_everything_that_is_saved_is_loaded(model: T5, tmp_path: Path) -> None:
    start = np.random.default_rng(0).normal(size=(6, 32)).astype(np.float32)
    save_model(model, tmp_path / "m", b"pieces", initialization=start, source="here", sentinels=9)
    loaded = load_model(tmp_path / "m")
    assert (loaded.name, loaded.config, loaded.sentinels) == ("m", model.config, 9)
    assert loaded.fingerprint == fingerprint(model)
    assert loaded.vocabulary_path is not None
    assert loaded.vocabulary_path.read_bytes() == b"pieces"
    np.testing.assert_array_equal(loaded.initialization, start)
    expected = flat_parameters(model)
    for path, array in flat_parameters(loaded.model).items():
        np.testing.assert_array_equal(array, expected[path])


def test_what_is_optional_may_be_absent(model: T5, tmp_path: Path) -> None:
    save_model(model, tmp_path / "m")
    loaded = load_model(tmp_path / "m", name="other")
    assert (loaded.name, loaded.vocabulary_path, loaded.initialization) == ("other", None, None)


def test_it_restores_onto_any_devices(model: T5, tmp_path: Path) -> None:
    save_model(model, tmp_path / "m")
    mesh = jax.make_mesh((2, 4), ("data", "model"), axis_types=(jax.sharding.AxisType.Auto,) * 2)

    def placement(config: T5Config) -> Mapping[str, jax.sharding.Sharding]:
        return {
            path: jax.sharding.NamedSharding(
                mesh, jax.P(None, "model") if path.endswith(".kernel") else jax.P()
            )
            for path in expected_shapes(config)
        }

    loaded = load_model(tmp_path / "m", dtype=jnp.bfloat16, placement=placement)
    for path, array in flat_parameters(loaded.model).items():
        assert array.sharding == placement(model.config)[path]
        assert array.dtype == jnp.bfloat16
        np.testing.assert_array_equal(
            np.asarray(array), np.asarray(flat_parameters(model)[path]).astype(jnp.bfloat16)
        )


def test_a_taken_place_is_left_alone(model: T5, tmp_path: Path) -> None:
    save_model(model, tmp_path / "m", b"first")
    with pytest.raises(Conflict, match="exists already"):
        save_model(model, tmp_path / "m", b"second")
    assert (tmp_path / "m" / "vocabulary.model").read_bytes() == b"first"


def test_a_failed_save_leaves_nothing(model: T5, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"\[length, 32\], not \[4, 31\]"):
        save_model(model, tmp_path / "m", initialization=np.zeros((4, 31), np.float32))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("victim", ["config.json", "weights/_METADATA", "weights/manifest.ocdbt"])
def test_an_absent_file_is_refused(model: T5, tmp_path: Path, victim: str) -> None:
    save_model(model, tmp_path / "m")
    (tmp_path / "m" / victim).unlink()
    with pytest.raises(InvalidInput, match=r"cannot be read|no Orbax weights") as error:
        load_model(tmp_path / "m")
    assert error.value.field == "source"


def test_a_configuration_of_other_weights_is_refused(model: T5, tmp_path: Path) -> None:
    save_model(model, tmp_path / "m")
    file = tmp_path / "m" / "config.json"
    value = json.loads(file.read_text())
    value["config"]["encoder_layers"] += 1
    file.write_text(json.dumps(value))
    with pytest.raises(InvalidInput, match=r"missing \(encoder.layers_3") as error:
        load_model(tmp_path / "m")
    assert error.value.field == "weights"


def test_a_damaged_initialization_is_refused(model: T5, tmp_path: Path) -> None:
    save_model(model, tmp_path / "m", initialization=np.zeros((4, 32), np.float32))
    file = tmp_path / "m" / "initialization.npy"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(InvalidInput) as error:
        load_model(tmp_path / "m")
    assert error.value.field == "initialization"
