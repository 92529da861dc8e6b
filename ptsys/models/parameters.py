"""The canonical flat form of a model's weights: dotted T5X path to array.

`encoder.layers_0.attention.query.kernel` is one such path; kernels are [in, out]. Every reader of
a checkpoint (Hugging Face, T5X, Orbax, the built-in model) arrives at this form and every writer
starts from it, so that one check decides whether weights fit a model.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike

from ptsys.errors import InvalidInput
from ptsys.models.t5.config import T5Config
from ptsys.models.t5.network import T5, abstract

Shape = tuple[int, ...]
Key = tuple[Any, ...]  # of a parameter in flax's flat state
NAMED = 4  # tensors that an error spells out; the rest are counted


@dataclasses.dataclass(frozen=True)
class Deferred:
    """A tensor whose shape is known and whose values are read when its turn comes."""

    shape: Shape
    read: Callable[[], np.ndarray]

    def transposed(self) -> Deferred:
        """The same tensor with its axes reversed."""
        return Deferred(self.shape[::-1], lambda: self.read().T)

    def reshaped(self, shape: Shape) -> Deferred:
        """The same values in another shape."""
        return Deferred(shape, lambda: self.read().reshape(shape))

    def scaled(self, factor: float) -> Deferred:
        """The same tensor times a number, in float32."""
        return Deferred(self.shape, lambda: self.read().astype(np.float32) * np.float32(factor))


Weights = Mapping[str, "np.ndarray | jax.Array | Deferred"]


def flat_parameters(model: T5) -> dict[str, jax.Array]:
    """The model's parameters by dotted path, in sorted order. Shares memory with the model."""
    flat = nnx.to_flat_state(nnx.state(model, nnx.Param))
    return dict(sorted((dotted(key), variable.get_value()) for key, variable in flat))


def expected_shapes(config: T5Config) -> dict[str, Shape]:
    """The shape of every parameter a model of this configuration has; allocates nothing."""
    _, leaves = _template(config)
    return {dotted(key): tuple(leaf.get_value().shape) for key, leaf in leaves}


def logical_axes(config: T5Config) -> dict[str, tuple[tuple[str, ...], Shape]]:
    """The logical axis names (T5X's) and the shape of every parameter, by dotted path."""
    _, leaves = _template(config)
    return {
        dotted(key): (leaf.get_metadata()["out_sharding"], tuple(leaf.get_value().shape))
        for key, leaf in leaves
    }


def parameter_count(config: T5Config) -> int:
    """How many numbers a model of this configuration holds; a tied head counts once."""
    return sum(int(np.prod(shape)) for shape in expected_shapes(config).values())


def check_shapes(expected: Mapping[str, Shape], found: Mapping[str, Shape]) -> None:
    """Raise InvalidInput unless both name the same tensors with the same shapes."""
    missing = sorted(expected.keys() - found.keys())
    extra = sorted(found.keys() - expected.keys())
    wrong = [
        f"{path} is {list(found[path])}, expected {list(shape)}"
        for path, shape in sorted(expected.items())
        if path in found and tuple(found[path]) != tuple(shape)
    ]
    problems = (("missing", missing), ("left over", extra), ("wrongly shaped", wrong))
    parts = [f"{len(names)} {kind} ({_some(names)})" for kind, names in problems if names]
    if parts:
        raise InvalidInput(
            f"the weights do not fit the model's configuration: {'; '.join(parts)}. "
            "Check that the configuration belongs to these weights and that no file is absent.",
            field="weights",
        )


def load_flat(
    config: T5Config,
    flat: Weights,
    *,
    dtype: DTypeLike = jnp.float32,
    shardings: Mapping[str, jax.sharding.Sharding] | None = None,
) -> T5:
    """A model with the given weights, every parameter placed and none left over.

    All shapes are checked before the first value is read; then tensors are read, checked, cast
    to `dtype` and put on the device (under `shardings[path]` where given) one at a time.
    Raises InvalidInput for missing, extra or wrongly shaped tensors, for values that are not
    finite in float32 and for tensors that are not floating point.
    """
    check_shapes(expected_shapes(config), {path: tuple(x.shape) for path, x in flat.items()})
    graphdef, leaves = _template(config)
    placed = []
    for key, leaf in leaves:
        path = dotted(key)
        sharding = None if shardings is None else shardings[path]
        placed.append((key, leaf.replace(_place(path, flat[path], dtype, sharding))))
    model: T5 = nnx.merge(graphdef, nnx.from_flat_state(placed))
    return model


def _place(
    path: str,
    tensor: np.ndarray | jax.Array | Deferred,
    dtype: DTypeLike,
    sharding: jax.sharding.Sharding | None,
) -> jax.Array:
    value = tensor.read() if isinstance(tensor, Deferred) else tensor
    if not jnp.issubdtype(value.dtype, jnp.floating):
        raise InvalidInput(
            f"{path} holds {value.dtype} values; weights must be floating point", field=path
        )
    if isinstance(value, jax.Array):
        finite = bool(jnp.isfinite(value).all())
    else:
        with np.errstate(over="ignore"):
            value = np.ascontiguousarray(value, np.float32)
        finite = bool(np.isfinite(value).all())
    if not finite:
        raise InvalidInput(
            f"{path} holds NaN or infinite values; save the weights again in bfloat16 or float32 "
            "(T5 overflows in float16)",
            field=path,
        )
    array: jax.Array = jax.device_put(value.astype(dtype), sharding)
    return array


@functools.lru_cache(maxsize=16)
def _template(config: T5Config) -> tuple[nnx.GraphDef[T5], tuple[tuple[Key, Any], ...]]:
    """The structure of a model and its parameters as shapes, traced once a configuration."""
    graphdef, state = nnx.split(abstract(config))
    return graphdef, tuple(nnx.to_flat_state(state))


def dotted(key: Key) -> str:
    """A parameter's path."""
    return ".".join(map(str, key))


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:NAMED])
    return shown if len(names) <= NAMED else f"{shown}, and {len(names) - NAMED} more"
