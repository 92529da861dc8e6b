"""Prompts as `.npy`, the form in which google-research/prompt-tuning publishes them.

One array [P, H] (`prompt_tuning/prompts.py`, `np_load`; `scripts/extract_variable.py` writes
float32 or bfloat16). Headers are read before anything is allocated, and never with pickle.
"""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ptsys.errors import InvalidInput
from ptsys.prompts.decoding import check_shape, decoding

MAGIC = b"\x93NUMPY"
_FIELD = "prompt"


def encode(array: NDArray[np.float32]) -> bytes:
    """The file's bytes."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def decode(data: bytes) -> NDArray[Any]:
    """The array in a file's bytes, in the file's shape; a bfloat16 one comes back as float32.

    Raises InvalidInput for anything but one array of plain values whose bytes are all there.
    """
    with decoding(".npy file", _FIELD):
        return _decoded(data)


def _decoded(data: bytes) -> NDArray[Any]:
    stream = io.BytesIO(data)
    shape, fortran, dtype = _header(stream)
    check_shape(shape, "header", _FIELD)
    if dtype.hasobject:
        raise InvalidInput(
            "this .npy file holds pickled Python objects, which could run code, and is not read; "
            "save a float32 array [length, width]",
            field=_FIELD,
        )
    if not dtype.itemsize:
        raise InvalidInput(f"this .npy file holds {dtype} values, which are nothing", field=_FIELD)
    content = memoryview(data)[stream.tell() :]
    declared = math.prod(shape) * dtype.itemsize
    if declared != len(content):
        raise InvalidInput(
            f"the header says shape {list(shape)} of {dtype}, {declared} bytes; the file holds "
            f"{len(content)}: it is truncated or damaged",
            field=_FIELD,
        )
    array = np.frombuffer(content, dtype)
    if dtype.kind == "V" and dtype.names is None and dtype.itemsize == 2:
        array = from_bfloat16(array.view(np.uint16))  # how numpy writes ml_dtypes' bfloat16
    return array.reshape(shape, order="F" if fortran else "C")


def from_bfloat16(bits: NDArray[np.uint16]) -> NDArray[np.float32]:
    """The float32 values of bfloat16 bit patterns: the upper halves of a float32's bits."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def _header(stream: io.BytesIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = npy.read_magic(stream)
    if version == (1, 0):
        return npy.read_array_header_1_0(stream)
    if version == (2, 0):
        return npy.read_array_header_2_0(stream)
    raise InvalidInput(
        f"this .npy file has format {version[0]}.{version[1]}; save a plain float32 array",
        field=_FIELD,
    )
