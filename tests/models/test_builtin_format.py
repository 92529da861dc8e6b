"""The compact form in which models ship in the package."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from ptsys.errors import InvalidInput
from ptsys.models.builtin_format import Storage, read_builtin, write_builtin
from ptsys.models.parameters import flat_parameters, load_flat
from ptsys.models.t5.network import T5

WO = "encoder.layers_0.mlp.wo.kernel"


@pytest.mark.parametrize(
    ("storage", "error"), [("float32", 0.0), ("float16", 2**-11), ("int8", 0.5 / 127)]
)
def test_weights_come_back_within_the_storage_error(
    model: T5, tmp_path: Path, storage: Storage, error: float
) -> None:
    written = write_builtin(model, tmp_path / "m", vocabulary=b"v", sentinels=7, storage=storage)
    loaded = read_builtin(tmp_path / "m", "m")
    assert loaded.fingerprint == written.fingerprint
    assert (loaded.config, loaded.sentinels) == (model.config, 7)
    expected = flat_parameters(model)
    for path, array in flat_parameters(loaded.model).items():
        wanted = np.asarray(expected[path])
        largest = np.abs(wanted).max(axis=0, keepdims=True)
        assert (np.abs(array - wanted) <= error * largest * 1.001).all(), path


def test_int8_is_about_a_quarter_of_the_size(model: T5, tmp_path: Path) -> None:
    sizes = {}
    for storage in ("float32", "float16", "int8"):
        write_builtin(model, tmp_path / storage, vocabulary=None, storage=storage)
        sizes[storage] = (tmp_path / storage / "weights.safetensors").stat().st_size
    assert sizes["int8"] < 0.4 * sizes["float32"]
    assert sizes["float16"] < 0.6 * sizes["float32"]


def test_int8_predictions_stay_close(
    model: T5, tmp_path: Path, logits: Callable[[T5], np.ndarray]
) -> None:
    write_builtin(model, tmp_path / "m", vocabulary=None, storage="int8")
    exact, rounded = logits(model), logits(read_builtin(tmp_path / "m", "m").model)
    assert np.corrcoef(exact.ravel(), rounded.ravel())[0, 1] > 0.999


def test_writing_again_replaces(model: T5, tmp_path: Path) -> None:
    for vocabulary in (b"first", b"second"):
        write_builtin(model, tmp_path / "m", vocabulary=vocabulary)
    loaded = read_builtin(tmp_path / "m", "m")
    assert loaded.vocabulary_path is not None
    assert loaded.vocabulary_path.read_bytes() == b"second"
    assert [x.name for x in tmp_path.iterdir()] == ["m"]


def test_a_column_of_zeros_survives_int8(model: T5, tmp_path: Path) -> None:
    flat = {path: np.array(x) for path, x in flat_parameters(model).items()}
    flat[WO][:, 3] = 0
    write_builtin(load_flat(model.config, flat), tmp_path / "m", vocabulary=None, storage="int8")
    read = flat_parameters(read_builtin(tmp_path / "m", "m").model)[WO]
    assert (read[:, 3] == 0).all()


def test_values_beyond_float16_are_refused(model: T5, tmp_path: Path) -> None:
    flat = {path: np.array(x) for path, x in flat_parameters(model).items()}
    flat[WO][0, 0] = 1e5
    with pytest.raises(InvalidInput, match="beyond float16; store float32"):
        write_builtin(load_flat(model.config, flat), tmp_path / "m", vocabulary=None)


def test_other_weights_than_were_written_are_refused(model: T5, tmp_path: Path) -> None:
    write_builtin(model, tmp_path / "m", vocabulary=None)
    file = tmp_path / "m" / "weights.safetensors"
    tensors = load_file(file)
    tensors[WO][0, 0] += 1
    save_file(tensors, file)
    with pytest.raises(InvalidInput, match="not those that were written"):
        read_builtin(tmp_path / "m", "m")


def test_a_lost_scale_and_a_lost_file_are_refused(model: T5, tmp_path: Path) -> None:
    write_builtin(model, tmp_path / "m", vocabulary=None, storage="int8")
    file = tmp_path / "m" / "weights.safetensors"
    tensors = load_file(file)
    del tensors[f"{WO}.scale"]
    save_file(tensors, file)
    with pytest.raises(InvalidInput, match=f"no fitting {WO}.scale"):
        read_builtin(tmp_path / "m", "m")
    file.unlink()
    with pytest.raises(InvalidInput, match="absent or damaged"):
        read_builtin(tmp_path / "m", "m")
