"""Tensors in and out, as safetensors, `.npy` or JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter, ValidationError

from ptsys.api.archives import unzipped_adapter
from ptsys.api.media_types import NPY, PEFT, SAFETENSORS, Kind, json_object
from ptsys.errors import InvalidInput
from ptsys.prompts import npy_format, safetensors_format
from ptsys.prompts.check import check_prompt

Row = Annotated[list[Annotated[float, Field(strict=True)]], Field(fail_fast=True)]
Rows = Annotated[list[Row], Field(fail_fast=True)]
_ROWS: TypeAdapter[Rows] = TypeAdapter(Rows)


def from_rows(rows: Rows | None, *, field: str = "tensor") -> NDArray[np.float32]:
    """The prompt [P, D] written as lists. Raises InvalidInput if it is none."""
    rows = rows or []
    widths = {len(row) for row in rows}
    if len(widths) > 1:
        raise InvalidInput(f"the rows have several lengths: {sorted(widths)[:4]}", field=field)
    array = np.array(rows, np.float64).reshape(len(rows), widths.pop() if widths else 0)
    return check_prompt(array, None, field=field)


def to_rows(array: NDArray[np.float32]) -> list[list[float | None]]:
    """The array as lists; JSON has no NaN, so what is not finite becomes null."""
    rows: list[list[float | None]] = array.astype(np.float64).tolist()
    if np.isfinite(array).all():
        return rows
    return [[number(value) for value in row] for row in rows]


def number(value: float | None) -> float | None:
    """The number, or null if JSON has none for it."""
    return value if value is not None and math.isfinite(value) else None


def structure_bytes(data: bytes, kind: Kind) -> int:
    """How many of a body's bytes have to be parsed, as far as the body says; the rest is plain
    numbers."""
    if kind == SAFETENSORS:
        return min(int.from_bytes(data[:8], "little"), len(data))
    return 0 if kind == NPY else len(data)


def decode(data: bytes, kind: Kind) -> NDArray[Any]:
    """The array in a body of that kind. Raises InvalidInput."""
    if kind == NPY:
        return npy_format.decode(data)
    if kind == SAFETENSORS:
        return safetensors_format.decode(data)[0]
    if kind == PEFT:
        return only_tokens(unzipped_adapter(data).tree)
    body = json_object(data)
    for key in body:
        if key != "tensor":
            raise InvalidInput("the body holds `tensor` alone", field=str(key)[:60])
    try:
        return from_rows(_ROWS.validate_python(body.get("tensor")))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in ("tensor", *first["loc"]))
        raise InvalidInput(str(first["msg"]), field=where) from None


def decode_tree(data: bytes, kind: Kind, *, task: int | None = None) -> dict[str, NDArray[Any]]:
    """The arrays of a prompt of any kind in a body of that kind, by name. Raises InvalidInput."""
    if kind == SAFETENSORS:
        return safetensors_format.decode_tree(data)[0]
    if kind == PEFT:
        return unzipped_adapter(data, task=task).tree
    return {"prompt": decode(data, kind)}


def noted_tree(data: bytes, kind: Kind) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """The same, with what a safetensors file tells in its header. Raises InvalidInput."""
    if kind == SAFETENSORS:
        return safetensors_format.decode_tree(data)
    return decode_tree(data, kind), {}


def only_tokens(tree: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    """The soft tokens of a prompt that has nothing else. Raises InvalidInput."""
    if set(tree) != {"prompt"}:
        raise InvalidInput(
            f"this prompt has {', '.join(sorted(tree))}; only soft tokens are taken here",
            field="prompt",
        )
    return tree["prompt"]
