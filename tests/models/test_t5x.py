"""T5X checkpoints, written here by flax and TensorStore as T5X writes them."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import tensorstore
from flax import serialization, traverse_util

from ptsys.errors import InvalidInput
from ptsys.models.fingerprint import fingerprint
from ptsys.models.parameters import flat_parameters
from ptsys.models.t5.config import T5Config
from ptsys.models.t5.network import T5, create
from ptsys.models.t5.t5x import import_t5x

GZIP = {"id": "gzip", "level": 1}
BLOSC = {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1}
Flat = dict[str, np.ndarray]


@pytest.fixture
def flat(model: T5) -> Flat:
    return {path: np.array(x) for path, x in flat_parameters(model).items()}


def write(
    folder: Path,
    flat: Flat,
    *,
    compressor: dict[str, Any] = GZIP,
    gcs: bool = False,
    specs: dict[str, Any] | None = None,
) -> Path:
    """Matrices as zarr, the rest inline, beside optimizer state that no one should read."""
    folder.mkdir(parents=True, exist_ok=True)
    target: dict[str, Any] = {}
    for path, array in flat.items():
        if array.ndim < 2 or path.endswith("rel_embedding"):
            target[path] = array
            continue
        name = f"target.{path}"
        spec = write_zarr(folder / name, array, compressor)
        if gcs:
            kvstore = {"driver": "gcs", "bucket": "t5x-dummy-bucket"}
            target[path] = {**spec, "kvstore": kvstore, "path": name}
        else:
            target[path] = {**spec, "kvstore": {"driver": "gfile", "path": name}}
    target |= specs or {}
    state = {"step": np.int32(7), "param_states": {"token_embedder": {"v": np.ones(3)}}}
    optimizer = {"target": traverse_util.unflatten_dict(target, sep="."), "state": state}
    tree = {"version": 3, "optimizer": optimizer}
    (folder / "checkpoint").write_bytes(serialization.msgpack_serialize(tree))
    return folder


def write_zarr(folder: Path, array: np.ndarray, compressor: dict[str, Any]) -> dict[str, Any]:
    dtype = "bfloat16" if array.dtype == jnp.bfloat16 else array.dtype.str
    metadata = {
        "shape": list(array.shape),
        "chunks": [max(1, size // 2) for size in array.shape],
        "dtype": dtype,
        "compressor": compressor,
    }
    kvstore = {"driver": "file", "path": f"{folder}/"}
    spec = {"driver": "zarr", "kvstore": kvstore, "metadata": metadata}
    tensorstore.open(spec, create=True).result().write(array).result()
    return {"driver": "zarr", "metadata": metadata}


def scanned(
    flat: Flat, config: T5Config, *, scalable: bool, split_heads: bool, bias_per_layer: bool
) -> Flat:
    """The layers of each stack in one array, on axis 1."""
    tree = {path: x for path, x in flat.items() if ".layers_" not in path}
    heads = (config.num_heads, config.head_dim)
    for stack, layers in (("encoder", config.encoder_layers), ("decoder", config.decoder_layers)):
        inner = f"{stack}.layers" if scalable else f"{stack}.{stack}"
        for path in [x for x in flat if x.startswith(f"{stack}.layers_0.")]:
            leaf = path.removeprefix(f"{stack}.layers_0.")
            parts = [flat[f"{stack}.layers_{i}.{leaf}"] for i in range(layers)]
            if split_heads and "attention." in leaf and leaf.endswith(".kernel"):
                if ".out." in leaf:
                    parts = [x.reshape(*heads, -1) for x in parts]
                else:
                    parts = [x.reshape(-1, *heads) for x in parts]
            tree[f"{inner}.{leaf}"] = np.stack(parts, axis=1)
        if bias_per_layer:
            table = tree.pop(f"{stack}.relpos_bias.rel_embedding")
            name = "relative_posemb" if scalable else "relpos_bias"
            tree[f"{inner}.{name}.rel_embedding"] = np.stack([table] * layers, axis=1)
    return tree


def assert_read_as(folder: Path, model: T5, logits: Callable[[T5], np.ndarray]) -> None:
    read = import_t5x(folder).model
    assert read.config == model.config
    assert fingerprint(read) == fingerprint(model)
    np.testing.assert_array_equal(logits(read), logits(model))


@pytest.mark.parametrize("compressor", [GZIP, BLOSC], ids=["gzip", "blosc"])
@pytest.mark.parametrize("gcs", [False, True], ids=["file", "gcs"])
def test_the_per_layer_form(
    tmp_path: Path,
    model: T5,
    flat: Flat,
    logits: Callable[[T5], np.ndarray],
    compressor: dict[str, Any],
    gcs: bool,
) -> None:
    write(tmp_path / "checkpoint_7", flat, compressor=compressor, gcs=gcs)
    assert_read_as(tmp_path / "checkpoint_7", model, logits)


@pytest.mark.parametrize("scalable", [False, True], ids=["flaxformer", "scalable_t5"])
@pytest.mark.parametrize("split_heads", [False, True], ids=["joined", "split"])
@pytest.mark.parametrize("bias_per_layer", [False, True], ids=["shared", "repeated"])
def test_the_scanned_form(
    tmp_path: Path,
    model: T5,
    flat: Flat,
    logits: Callable[[T5], np.ndarray],
    scalable: bool,
    split_heads: bool,
    bias_per_layer: bool,
) -> None:
    tree = scanned(
        flat,
        model.config,
        scalable=scalable,
        split_heads=split_heads,
        bias_per_layer=bias_per_layer,
    )
    write(tmp_path, tree, compressor=BLOSC)
    assert_read_as(tmp_path, model, logits)


def test_layers_with_different_biases_are_refused(tmp_path: Path, model: T5, flat: Flat) -> None:
    tree = scanned(flat, model.config, scalable=False, split_heads=True, bias_per_layer=True)
    tree["decoder.decoder.relpos_bias.rel_embedding"][0, 1, 2] += 1e-3
    with pytest.raises(InvalidInput, match="a different relative bias for each of 2 layers") as e:
        import_t5x(write(tmp_path, tree))
    assert e.value.field == "decoder.decoder.relpos_bias.rel_embedding"


def test_the_newest_of_several_checkpoints_is_read(tmp_path: Path, config: T5Config) -> None:
    for step in (9, 100):
        model = create(config, seed=step)
        write(tmp_path / f"checkpoint_{step}", {k: np.array(v) for k, v in _flat(model)})
    (tmp_path / "checkpoint_200").mkdir()  # without an index: still being written
    assert fingerprint(import_t5x(tmp_path).model) == fingerprint(model)


def _flat(model: T5) -> list[tuple[str, Any]]:
    return list(flat_parameters(model).items())


def test_prompts_in_the_tree_are_reported(tmp_path: Path, model: T5, flat: Flat) -> None:
    prompt = np.random.default_rng(0).normal(size=(5, 32)).astype(np.float32)
    write(tmp_path, flat | {"encoder.prompt.prompt": prompt})
    imported = import_t5x(tmp_path)
    assert imported.prompts.keys() == {"encoder.prompt.prompt"}
    np.testing.assert_array_equal(imported.prompts["encoder.prompt.prompt"], prompt)
    assert fingerprint(imported.model) == fingerprint(model)


@pytest.mark.parametrize("as_bits", [False, True], ids=["version_3", "version_2"])
def test_bfloat16_is_read(tmp_path: Path, flat: Flat, as_bits: bool) -> None:
    short = {path: x.astype(jnp.bfloat16) for path, x in flat.items()}
    stored = {
        path: x.view(np.uint16) if as_bits and x.ndim == 2 and "rel_" not in path else x
        for path, x in short.items()
    }
    read = flat_parameters(import_t5x(write(tmp_path, stored)).model)
    for path, array in read.items():
        np.testing.assert_array_equal(array, short[path].astype(np.float32))


def test_large_inline_arrays_in_chunks_are_joined(tmp_path: Path, model: T5, flat: Flat) -> None:
    name, table = "token_embedder.embedding", flat["token_embedder.embedding"]
    parts = np.array_split(table.ravel(), 3)
    chunked = {
        "__msgpack_chunked_array__": True,
        "shape": {"0": table.shape[0], "1": table.shape[1]},
        "chunks": {str(i): part for i, part in enumerate(parts)},
    }
    write(tmp_path, flat, specs={name: chunked})
    assert fingerprint(import_t5x(tmp_path).model) == fingerprint(model)


def test_what_shapes_do_not_say_is_an_argument(tmp_path: Path, flat: Flat) -> None:
    config = import_t5x(
        write(tmp_path, flat), relative_max_distance=64, tokenizer="byt5"
    ).model.config
    assert (config.relative_max_distance, config.tokenizer) == (64, "byt5")


def test_the_vocabulary_of_byt5_is_recognized(tmp_path: Path, config: T5Config) -> None:
    model = create(dataclasses.replace(config, vocab_size=384))
    write(tmp_path, {k: np.array(v) for k, v in _flat(model)})
    assert import_t5x(tmp_path).model.config.tokenizer == "byt5"


# Refusals.

WO = "encoder.layers_0.mlp.wo.kernel"


def refused(folder: Path, match: str, field: str) -> None:
    with pytest.raises(InvalidInput, match=match) as error:
        import_t5x(folder)
    assert error.value.field == field


@pytest.mark.parametrize("path", ["../secret", "/etc", "."])
def test_a_path_that_leaves_the_folder_is_refused(tmp_path: Path, flat: Flat, path: str) -> None:
    write_zarr(tmp_path / "secret", flat[WO], GZIP)
    spec = {"driver": "zarr", "kvstore": {"driver": "file", "path": path}, "metadata": {}}
    folder = write(tmp_path / "checkpoint_1", flat, specs={WO: spec})
    refused(folder, "outside the checkpoint folder.*refused", WO)


def test_a_link_that_leaves_the_folder_is_refused(tmp_path: Path, flat: Flat) -> None:
    write_zarr(tmp_path / "secret", flat[WO], GZIP)
    spec = {"driver": "zarr", "kvstore": {"driver": "file", "path": "link"}, "metadata": {}}
    folder = write(tmp_path / "checkpoint_1", flat, specs={WO: spec})
    (folder / "link").symlink_to(tmp_path / "secret")
    refused(folder, "outside the checkpoint folder", WO)


def test_other_drivers_are_refused(tmp_path: Path, flat: Flat) -> None:
    spec = {"driver": "n5", "kvstore": {"driver": "file", "path": "x"}, "metadata": {}}
    refused(write(tmp_path, flat, specs={WO: spec}), "only zarr is read", WO)


def test_a_missing_zarr_folder_is_named(tmp_path: Path, flat: Flat) -> None:
    write(tmp_path, flat)
    (tmp_path / f"target.{WO}" / ".zarray").unlink()
    refused(tmp_path, "missing; copy the checkpoint again", WO)


def test_a_damaged_chunk_is_refused(tmp_path: Path, flat: Flat) -> None:
    write(tmp_path, flat)
    (tmp_path / f"target.{WO}" / "0.0").write_bytes(b"not gzip")
    refused(tmp_path, "cannot be read", "source")


@pytest.mark.parametrize("kept", [0, 40, -100])
def test_a_truncated_index_is_refused(tmp_path: Path, flat: Flat, kept: int) -> None:
    file = write(tmp_path, flat) / "checkpoint"
    file.write_bytes(file.read_bytes()[:kept])
    refused(tmp_path, "damaged or not msgpack.*copy the checkpoint again", "source")


def test_a_folder_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, "no file named 'checkpoint'", "source")


def test_an_extra_and_a_missing_layer_are_refused(tmp_path: Path, flat: Flat) -> None:
    odd = flat | {"encoder.layers_0.adapter.kernel": np.ones((2, 2), np.float32)}
    refused(write(tmp_path / "a", odd), "1 left over", "weights")
    hole = {path: x for path, x in flat.items() if ".layers_1." not in path or "dec" in path}
    refused(write(tmp_path / "b", hole), r"missing \(encoder.layers_1", "weights")


def test_an_encoder_alone_is_refused(tmp_path: Path, flat: Flat) -> None:
    half = {path: x for path, x in flat.items() if not path.startswith("decoder")}
    refused(write(tmp_path, half), "no decoder layers", "decoder")


def test_weights_that_are_nan_are_refused(tmp_path: Path, flat: Flat) -> None:
    flat[WO][1, 1] = np.nan
    refused(write(tmp_path, flat), "NaN or infinite", WO)
