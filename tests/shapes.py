"""What checks, whenever a test calls a function, the arrays that its signature names.

`jaxtyping`'s import hook puts `arrays` around every function of the rooms that conftest names. Of
its annotations those count that name a shape: what a door has to refuse may be anything else. An
array may lie on the host where the annotation says `jax.Array`, as JAX takes it from there, and be
its shape alone, as plans have it.
"""

from __future__ import annotations

import functools
import inspect
import operator
import re
import types
import typing
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from beartype import beartype
from jaxtyping import AbstractArray

_SHAPED = re.compile(r"\b(Shaped|Float|Int|UInt|Bool|Key|Num|Inexact)\w*\[")


def arrays(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with its shapes and dtypes checked; as it is, where it names none."""
    hints = function.__annotations__
    shaped = {name: _anywhere(hint) for name, hint in hints.items() if _names_a_shape(hint)}
    if not shaped:
        return function
    function.__annotations__ = shaped
    return typing.cast(Callable[..., Any], beartype(function))


def _names_a_shape(hint: Any) -> bool:
    if isinstance(hint, str):  # of what is imported for type checkers alone
        return _SHAPED.search(hint) is not None
    if isinstance(hint, list | tuple):
        return any(_names_a_shape(part) for part in hint)
    return _is_array(hint) or any(_names_a_shape(part) for part in typing.get_args(hint))


def _is_array(hint: Any) -> bool:
    return inspect.isclass(hint) and issubclass(hint, AbstractArray)


def _anywhere(hint: Any) -> Any:
    if _is_array(hint):
        if hint.array_type is not jax.Array:
            return hint
        return hint.dtype[jax.Array | np.ndarray | jax.ShapeDtypeStruct, hint.dim_str]
    parts = typing.get_args(hint)
    if not parts or any(isinstance(part, str | list) for part in parts):  # a Literal, a Callable
        return hint
    changed = tuple(_anywhere(part) for part in parts)
    origin = typing.get_origin(hint)
    if origin in (types.UnionType, typing.Union):
        return functools.reduce(operator.or_, changed)
    return origin[changed]
