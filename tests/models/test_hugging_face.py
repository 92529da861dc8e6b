"""Hugging Face folders: what is read, what is written, and what is refused with which words."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from ptsys.errors import InvalidInput
from ptsys.models.parameters import flat_parameters
from ptsys.models.t5.config import T5Config
from ptsys.models.t5.hugging_face import export_hugging_face, import_hugging_face, read_config
from ptsys.models.t5.network import T5, create

SHARED, HEAD = "shared.weight", "lm_head.weight"
WI = "encoder.block.0.layer.1.DenseReluDense.wo.weight"


@pytest.fixture
def folder(model: T5, tmp_path: Path) -> Path:
    export_hugging_face(model, tmp_path / "hf")
    return tmp_path / "hf"


def change_config(folder: Path, *, without: tuple[str, ...] = (), **values: Any) -> None:
    file = folder / "config.json"
    config = json.loads(file.read_text()) | values
    file.write_text(json.dumps({k: v for k, v in config.items() if k not in without}))


def change_tensors(folder: Path, change: Callable[[dict[str, np.ndarray]], None]) -> None:
    file = folder / "model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file({name: np.ascontiguousarray(x) for name, x in tensors.items()}, file)


def shard(folder: Path) -> list[str]:
    """Split the weights in two, as save_pretrained does with large models."""
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    files = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    weight_map = {name: files[i % 2] for i, name in enumerate(names)}
    for file in files:
        part = {name: tensors[name] for name in names if weight_map[name] == file}
        save_file(part, folder / file)
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "model.safetensors").unlink()
    return files


def assert_same(left: T5, right: T5) -> None:
    assert left.config == right.config
    ours, theirs = flat_parameters(left), flat_parameters(right)
    assert ours.keys() == theirs.keys()
    for path, array in ours.items():
        np.testing.assert_array_equal(array, theirs[path], err_msg=path)


def test_what_is_exported_reads_back_identically(model: T5, folder: Path) -> None:
    assert read_config(folder) == model.config
    assert_same(import_hugging_face(folder), model)


def test_byt5_and_unequal_stacks_survive(tmp_path: Path, config: T5Config) -> None:
    bytes_config = dataclasses.replace(
        config, vocab_size=384, tokenizer="byt5", decoder_layers=1, max_input_length=1024
    )
    model = create(bytes_config)
    export_hugging_face(model, tmp_path)
    assert_same(import_hugging_face(tmp_path), model)


def test_a_published_byt5_config_is_understood(tmp_path: Path, folder: Path) -> None:
    change_config(
        folder,
        without=("scale_decoder_outputs", "n_positions"),
        tokenizer_class="ByT5Tokenizer",
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
    )
    config = read_config(folder)
    assert (config.tokenizer, config.max_input_length) == ("byt5", 1024)
    assert (config.activation, config.gated, config.tie_embeddings) == ("gelu", True, False)


def test_shards_read_as_the_whole(model: T5, folder: Path) -> None:
    shard(folder)
    assert_same(import_hugging_face(folder), model)


def test_aliases_and_the_legacy_bias_are_ignored(model: T5, folder: Path) -> None:
    def add(tensors: dict[str, np.ndarray]) -> None:
        tensors["encoder.embed_tokens.weight"] = tensors[SHARED].copy()
        tensors["decoder.embed_tokens.weight"] = tensors[SHARED].copy()
        bias = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"
        tensors[bias] = np.ones((32, 4), np.float32)

    change_tensors(folder, add)
    assert_same(import_hugging_face(folder), model)


def test_an_alias_stands_in_for_an_absent_shared_table(model: T5, folder: Path) -> None:
    change_tensors(folder, lambda x: x.update({"decoder.embed_tokens.weight": x.pop(SHARED)}))
    assert_same(import_hugging_face(folder), model)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_half_precision_is_cast_to_float32(model: T5, folder: Path, dtype: type) -> None:
    change_tensors(folder, lambda x: x.update({k: v.astype(dtype) for k, v in x.items()}))
    read = flat_parameters(import_hugging_face(folder))
    for path, array in flat_parameters(model).items():
        assert read[path].dtype == np.float32
        expected = np.asarray(array).astype(dtype).astype(np.float32)
        np.testing.assert_array_equal(read[path], expected)


# The head: what transformers 4 and 5 wrote for the same models.


def test_a_stored_head_that_equals_the_table_is_a_tied_one(tmp_path: Path) -> None:
    model = create(_t5_1_0())
    export_hugging_face(model, tmp_path)
    change_tensors(tmp_path, lambda x: x.update({HEAD: x[SHARED].copy()}))
    change_config(tmp_path, without=("scale_decoder_outputs", "tie_word_embeddings"))
    assert_same(import_hugging_face(tmp_path), model)


def test_an_unscaled_model_without_a_head_gets_a_copy_of_the_table(tmp_path: Path) -> None:
    model = create(dataclasses.replace(_t5_1_0(), tie_embeddings=False))
    export_hugging_face(model, tmp_path)
    change_tensors(tmp_path, lambda x: x.pop(HEAD))
    change_config(tmp_path, tie_word_embeddings=True, scale_decoder_outputs=False)
    flat = flat_parameters(import_hugging_face(tmp_path))
    table = flat["token_embedder.embedding"]
    np.testing.assert_array_equal(flat["decoder.logits_dense.kernel"], table.T)


def test_a_distinct_head_wins_over_a_config_that_says_tied(tmp_path: Path) -> None:
    model = create(dataclasses.replace(_t5_1_0(), tie_embeddings=False))
    export_hugging_face(model, tmp_path)
    change_config(tmp_path, tie_word_embeddings=True, scale_decoder_outputs=False)
    assert_same(import_hugging_face(tmp_path), model)


def test_a_distinct_head_of_a_scaled_model_carries_the_scale(
    tmp_path: Path, logits: Callable[[T5], np.ndarray]
) -> None:
    model = create(dataclasses.replace(_t5_1_0(), tie_embeddings=False))
    export_hugging_face(model, tmp_path)
    change_config(tmp_path, tie_word_embeddings=True, scale_decoder_outputs=True)
    scaled = import_hugging_face(tmp_path)
    np.testing.assert_allclose(
        logits(scaled), logits(model) * model.config.d_model**-0.5, rtol=1e-4, atol=1e-5
    )


def test_a_head_that_was_never_saved_is_missed(tmp_path: Path) -> None:
    export_hugging_face(create(dataclasses.replace(_t5_1_0(), tie_embeddings=False)), tmp_path)
    change_tensors(tmp_path, lambda x: x.pop(HEAD))
    change_config(tmp_path, without=("scale_decoder_outputs",))
    with pytest.raises(InvalidInput, match=r"1 missing \(decoder.logits_dense.kernel\)"):
        import_hugging_face(tmp_path)


def _t5_1_0() -> T5Config:
    return T5Config(
        vocab_size=96,
        d_model=24,
        num_heads=2,
        head_dim=8,
        d_ff=40,
        encoder_layers=1,
        decoder_layers=1,
        activation="relu",
        gated=False,
        tie_embeddings=True,
    )


# Refusals.


def refused(folder: Path, match: str, field: str) -> None:
    with pytest.raises(InvalidInput, match=match) as error:
        import_hugging_face(folder)
    assert error.value.field == field


def test_absent_files_are_named(folder: Path) -> None:
    shards = shard(folder)
    (folder / shards[1]).unlink()
    refused(folder, f"{shards[1]} is missing.*download it again", "source")
    (folder / "model.safetensors.index.json").unlink()
    refused(folder, "no model.safetensors; point at", "source")
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04")
    refused(folder, "never read: save the model with safe_serialization", "source")
    (folder / "config.json").unlink()
    refused(folder, "has no config.json", "source")


def test_an_index_cannot_reach_outside_its_folder(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder.parent / "elsewhere.safetensors")
    index = {"weight_map": {SHARED: "../elsewhere.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    refused(folder, "outside its folder", "source")


def test_an_index_that_promises_too_much_is_refused(folder: Path) -> None:
    shards = shard(folder)
    file = folder / "model.safetensors.index.json"
    index = json.loads(file.read_text())
    index["weight_map"]["encoder.extra"] = shards[0]
    file.write_text(json.dumps(index))
    refused(folder, "lacks 1 tensors .* such as encoder.extra", "source")


@pytest.mark.parametrize("kept", [0, 5, 300, -7])
def test_truncated_weights_are_refused(folder: Path, kept: int) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:kept])
    refused(folder, "not a whole safetensors file.*download it again", "source")


def test_an_extra_tensor_and_a_wrong_shape_are_refused(folder: Path) -> None:
    change_tensors(folder, lambda x: x.update({"encoder.block.9.odd": np.ones(2, np.float32)}))
    refused(folder, r"1 left over \(encoder.block.9.odd\)", "weights")
    change_tensors(
        folder, lambda x: (x.pop("encoder.block.9.odd"), x.update({WI: x[WI][:, :-1]}))[0]
    )
    refused(folder, r"wrongly shaped \(encoder.layers_0.mlp.wo.kernel is \[47, 32\]", "weights")


def test_weights_that_are_nan_are_refused(folder: Path) -> None:
    change_tensors(folder, lambda x: x[WI].__setitem__((0, 0), np.nan))
    refused(folder, "NaN or infinite", "encoder.layers_0.mlp.wo.kernel")


@pytest.mark.parametrize(
    ("values", "match", "field"),
    [
        ({"model_type": "bert"}, "'bert' is not supported; import a T5", "model_type"),
        ({"model_type": "umt5"}, "relative bias in every layer", "model_type"),
        ({"architectures": ["T5EncoderModel"]}, "an encoder alone", "architectures"),
        ({"feed_forward_proj": "gated-silu"}, "not supported; one of", "feed_forward_proj"),
        ({"feed_forward_proj": "gelu"}, "not supported; one of", "feed_forward_proj"),
        ({"num_layers": "3"}, "must be a whole number", "num_layers"),
        ({"num_heads": 0}, "must be positive", "num_heads"),
    ],
)
def test_other_models_are_refused(
    folder: Path, values: dict[str, Any], match: str, field: str
) -> None:
    change_config(folder, **values)
    refused(folder, match, field)


def test_a_config_that_is_not_json_is_refused(folder: Path) -> None:
    (folder / "config.json").write_text("{")
    refused(folder, "config.json is not JSON", "source")
