"""What makes an array a prompt for a given model."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptsys.errors import InvalidInput

MAX_LENGTH = 1024  # prompt tokens


def check_prompt(
    array: NDArray[Any],
    d_model: int | None,
    *,
    model: str | None = None,
    max_length: int = MAX_LENGTH,
    field: str = "prompt",
) -> NDArray[np.float32]:
    """The prompt as a contiguous float32 [P, D], once it is known to be one.

    `d_model` is the width D that the model named `model` reads; None leaves the width open.
    Raises InvalidInput, naming `field`, for another rank or width, no rows or more than
    `max_length` tokens, values that are not floating point, and values that are NaN or infinite
    in float32 (with the place of the first).
    """
    _check_floating(array, field)
    if array.ndim != 2:
        raise InvalidInput(
            f"a prompt has two axes, [length, width]; this array has shape {list(array.shape)}",
            field=field,
        )
    length, width = array.shape
    if d_model is not None and width != d_model:
        owner = f"model {model!r}" if model else "the model"
        raise InvalidInput(
            f"this prompt has width {width}, {owner} has {d_model}: it was made for another model",
            field=field,
        )
    if not length or not width:
        raise InvalidInput(f"this prompt is empty: its shape is {[length, width]}", field=field)
    if length > max_length:
        raise InvalidInput(
            f"this prompt is {length} tokens long; the longest allowed is {max_length}", field=field
        )
    return _finite(array, field)


def check_numbers(array: NDArray[Any], field: str) -> NDArray[np.float32]:
    """The array, of any axes, as contiguous float32. Raises InvalidInput, naming `field`, for
    values that are not floating point, or not finite in float32 (with the place of the first)."""
    _check_floating(array, field)
    flat = array.reshape(-1, array.shape[-1]) if array.ndim else array.reshape(1, 1)
    return _finite(flat, field).reshape(array.shape)


def _check_floating(array: NDArray[Any], field: str) -> None:
    if not (np.issubdtype(array.dtype, np.floating) or array.dtype.name == "bfloat16"):
        raise InvalidInput(
            f"a prompt holds floating point numbers, not {array.dtype}; save it as float32",
            field=field,
        )


def _finite(array: NDArray[Any], field: str) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(array, np.float32)
    wrong = np.argwhere(~np.isfinite(values))
    if len(wrong):
        row, column = (int(i) for i in wrong[0])
        raise InvalidInput(
            f"row {row}, column {column} of the prompt is {array[row, column]!s}, which is not a "
            f"finite float32 ({len(wrong)} such values); its training diverged or the file is "
            "damaged",
            field=field,
        )
    return values
