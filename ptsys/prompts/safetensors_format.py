"""Prompts as `.safetensors`: one tensor named `prompt`, and what is known of it in the header."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from ptsys.errors import InvalidInput
from ptsys.prompts.decoding import check_shape, decoding
from ptsys.prompts.npy_format import from_bfloat16

TENSOR = "prompt"
MOST_LEAVES = 1024  # a meta-prompt may have an encoder of its own
_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


def encode(
    array: NDArray[np.float32], metadata: Mapping[str, str] | None = None, *, tensor: str = TENSOR
) -> bytes:
    """The file's bytes; `metadata` goes into the header."""
    return encode_tree({tensor: array}, metadata)


def encode_tree(
    tree: Mapping[str, NDArray[Any]], metadata: Mapping[str, str] | None = None
) -> bytes:
    """The file's bytes, a float32 tensor a leaf; `metadata` goes into the header."""
    leaves = {name: np.ascontiguousarray(leaf, np.float32) for name, leaf in tree.items()}
    data: bytes = safetensors.numpy.save(leaves, metadata=dict(metadata or {}))
    return data


def annotated(data: bytes, metadata: Mapping[str, str]) -> bytes:
    """The same file with this metadata, its tensors copied once; `data` is one of `encode`'s."""
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start]) | {"__metadata__": dict(metadata)}
    told = json.dumps(header, separators=(",", ":")).encode()
    told += b" " * (-len(told) % 8)  # tensors begin at a multiple of 8
    return b"".join((len(told).to_bytes(8, "little"), told, memoryview(data)[start:]))


def decode(data: bytes, *, tensor: str = TENSOR) -> tuple[NDArray[Any], dict[str, str]]:
    """The array of that name in a file's bytes, in the file's shape, and the header's metadata.

    Half precision comes back as float16, bfloat16 as float32. Raises InvalidInput for bytes that
    are no safetensors file, whose header does not fit them, or that lack such a tensor.
    """
    with decoding("safetensors file", tensor):
        tensors = dict(safetensors.deserialize(data))  # type: ignore[no-untyped-call]
        return _array(tensors, tensor), _metadata(data)


def decode_tree(
    data: bytes, names: Sequence[str] | None = None
) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """The arrays of these names in a file's bytes, or all of them, and the header's metadata.
    Raises InvalidInput as `decode`, and for more tensors than a prompt has leaves."""
    with decoding("safetensors file", TENSOR):
        tensors = dict(safetensors.deserialize(data))  # type: ignore[no-untyped-call]
        if len(tensors) > MOST_LEAVES:
            raise InvalidInput(
                f"this safetensors file has {len(tensors)} tensors, a prompt at most {MOST_LEAVES}",
                field=TENSOR,
            )
        chosen = sorted(tensors) if names is None else names
        return {name: _array(tensors, name) for name in chosen}, _metadata(data)


def _array(tensors: Mapping[str, Any], tensor: str) -> NDArray[Any]:
    found = tensors.get(tensor)
    if found is None:
        raise InvalidInput(
            f"this safetensors file has no tensor {tensor!r}; it has {_some(sorted(tensors))}",
            field=tensor,
        )
    if found["dtype"] not in _DTYPES:
        raise InvalidInput(
            f"tensor {tensor!r} holds {found['dtype']} values; save it as float32", field=tensor
        )
    check_shape(found["shape"], "header", tensor)
    array: NDArray[Any] = np.frombuffer(found["data"], _DTYPES[found["dtype"]])
    if found["dtype"] == "BF16":
        array = from_bfloat16(array)
    return array.reshape(found["shape"])


def _metadata(data: bytes) -> dict[str, str]:
    """The header's `__metadata__`, of bytes that safetensors has accepted."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    return dict(header.get("__metadata__") or {})


def _some(names: list[str], shown: int = 4) -> str:
    listed = ", ".join(repr(name[:60]) for name in names[:shown]) or "none"
    return listed if len(names) <= shown else f"{listed} and {len(names) - shown} more"
