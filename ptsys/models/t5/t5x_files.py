"""The files of a T5X checkpoint: the msgpack index and the zarr arrays beside it.

A leaf of the index is an array (flax's msgpack extension types, large ones in chunks) or a
TensorStore spec. Of a spec only the relative path is used, wherever it stands: on Google Cloud
Storage T5X writes a dummy bucket and moves the path to the top level. The array is always opened
as a zarr folder on the local disk, inside the checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import msgpack
import numpy as np
import tensorstore

from ptsys.errors import InvalidInput

Stored = Any  # np.ndarray or tensorstore.TensorStore: both have a shape and slice lazily
ARRAY, NUMPY_SCALAR = 1, 3  # flax.serialization's extension types; 2 is a complex number
CHUNKED = "__msgpack_chunked_array__"
BIT_PATTERN = np.dtype(np.uint16)  # version 2 checkpoints keep bfloat16 bits under this type


def is_t5x(folder: Path) -> bool:
    """Whether the folder is a T5X checkpoint or holds some."""
    return (folder / "checkpoint").is_file() or any(folder.glob("checkpoint_*/checkpoint"))


def read_target(folder: Path) -> dict[str, Stored]:
    """The parameters of a checkpoint by dotted path; zarr arrays are opened, not read."""
    folder = _checkpoint_folder(folder)
    tree = _read_index(folder / "checkpoint")
    state = tree.get("optimizer", tree)
    target = state.get("target") if isinstance(state, dict) else None
    if not isinstance(target, dict) or not target:
        raise InvalidInput(
            "the checkpoint's index has no target parameters; is it a T5X checkpoint?",
            field="source",
        )
    return {path: _open(folder, path, leaf) for path, leaf in _leaves(target, ())}


def read_stored(array: Stored) -> np.ndarray:
    """The values of a leaf, or of a slice of one."""
    if isinstance(array, np.ndarray):
        return array
    try:
        values = np.asarray(array.read().result())
    except (ValueError, OSError, RuntimeError) as error:
        raise InvalidInput(
            f"a zarr array of the checkpoint cannot be read: {error}", field="source"
        ) from error
    return values.view(jnp.bfloat16) if values.dtype == BIT_PATTERN else values


def _checkpoint_folder(folder: Path) -> Path:
    """The folder itself, or the checkpoint of the highest step inside it."""
    if (folder / "checkpoint").is_file():
        return folder
    steps = {
        int(inner.name.removeprefix("checkpoint_")): inner
        for inner in folder.glob("checkpoint_*")
        if inner.name.removeprefix("checkpoint_").isdigit() and (inner / "checkpoint").is_file()
    }
    if not steps:
        raise InvalidInput(
            f"{folder} has no file named 'checkpoint'; point at a T5X checkpoint_N folder",
            field="source",
        )
    return steps[max(steps)]


def _read_index(file: Path) -> dict[str, Any]:
    try:
        tree = msgpack.unpackb(file.read_bytes(), ext_hook=_extension, strict_map_key=False)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise InvalidInput(
            f"{file} is damaged or not msgpack ({error}); copy the checkpoint again",
            field="source",
        ) from error
    if not isinstance(tree, dict):
        raise InvalidInput(f"{file} does not hold a tree of parameters", field="source")
    return tree


def _extension(code: int, data: bytes) -> Any:
    if code not in (ARRAY, NUMPY_SCALAR):
        return msgpack.ExtType(code, data)
    shape, dtype, buffer = msgpack.unpackb(data)
    if isinstance(dtype, bytes):
        dtype = dtype.decode()
    array = np.frombuffer(buffer, jnp.dtype(dtype)).reshape(shape)
    return array if code == ARRAY else array[()]


def _leaves(tree: Mapping[str, Any], above: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    for key, value in sorted(tree.items()):
        path = (*above, str(key))
        if isinstance(value, dict) and not _is_spec(value) and CHUNKED not in value:
            yield from _leaves(value, path)
        elif value is not None:
            yield ".".join(path), value


def _is_spec(value: Mapping[str, Any]) -> bool:
    return "driver" in value and "kvstore" in value


def _open(folder: Path, path: str, leaf: Any) -> Stored:
    if isinstance(leaf, np.ndarray):
        return leaf
    if isinstance(leaf, dict):
        return _joined_chunks(path, leaf) if CHUNKED in leaf else _open_zarr(folder, path, leaf)
    raise InvalidInput(f"{path} is neither an array nor a TensorStore spec", field=path)


def _joined_chunks(path: str, leaf: Mapping[str, Any]) -> np.ndarray:
    """flax splits arrays over 1 GiB into flat chunks, in dicts keyed '0', '1', …"""
    try:
        shape, chunks = leaf["shape"], leaf["chunks"]
        shape = tuple(int(shape[str(i)]) for i in range(len(shape)))
        parts = [chunks[str(i)] for i in range(len(chunks))]
        return np.concatenate(parts).reshape(shape)
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput(f"{path} is a damaged chunked array: {error!r}", field=path) from error


def _open_zarr(folder: Path, path: str, spec: Mapping[str, Any]) -> Stored:
    if spec["driver"] != "zarr":
        raise InvalidInput(
            f"{path} is stored with the driver {spec['driver']!r}; only zarr is read", field=path
        )
    kvstore = spec["kvstore"]
    inner = kvstore.get("path") if isinstance(kvstore, dict) else None
    inner = inner or spec.get("path")
    if not isinstance(inner, str) or not inner:
        raise InvalidInput(f"{path} has a TensorStore spec without a path", field=path)
    target = (folder / inner).resolve()
    if not target.is_relative_to(folder.resolve()) or target == folder.resolve():
        raise InvalidInput(
            f"{path} points outside the checkpoint folder, at {inner!r}; refused", field=path
        )
    if not (target / ".zarray").is_file():
        raise InvalidInput(
            f"{path} is stored in {inner}, which is missing; copy the checkpoint again", field=path
        )
    local = {"driver": "zarr", "kvstore": {"driver": "file", "path": f"{target}/"}}
    try:
        return tensorstore.open(local, read=True).result()
    except (ValueError, OSError, RuntimeError) as error:
        raise InvalidInput(f"{path} cannot be opened: {error}", field=path) from error
