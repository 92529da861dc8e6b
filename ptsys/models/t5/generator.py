"""Generators: encoders that read examples for a meta-prompt in place of the frozen model's own.

Their parameters are those of an encoder, float32, but that what every layer has one of is one array
[layers, ...]: few arrays, however deep the model, make small programs. `layers.mlp.wo.kernel` are
the encoder's `layers_0.mlp.wo.kernel`, `layers_1.mlp.wo.kernel` and so on.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import AbstractMesh
from numpy.typing import NDArray

from ptsys.kinds.encoders import LAYERS
from ptsys.models.parameters import dotted, flat_parameters
from ptsys.models.t5.config import T5Config
from ptsys.models.t5.network import T5, Encoder

ENCODER = "encoder."
_LAYER = re.compile(r"layers_(\d+)\.")


def with_encoder(model: T5, arrays: Mapping[str, Any]) -> T5:
    """The model with an encoder of these parameters; everything else is the model's own, its token
    table too."""
    graphdef, keys = _template(model.config)
    other: T5 = nnx.merge(*nnx.split(model))  # one of this trace
    state = nnx.from_flat_state([(key, parameter(arrays, dotted(key))) for key in keys])
    other.encoder = nnx.merge(graphdef, state)
    return other


def parameter(arrays: Mapping[str, Any], path: str) -> Any:
    """That of an encoder's path among a generator's."""
    layer = _LAYER.match(path)
    if layer is None:
        return arrays[path]
    return arrays[LAYERS + path[layer.end() :]][int(layer.group(1))]


def first_of(path: str) -> str | None:
    """The path of the first layer's parameter, where it is one of what every layer has."""
    if not path.startswith(LAYERS):
        return None
    return f"layers_0.{path.removeprefix(LAYERS)}"


def generator(encoder: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """A generator with an encoder's parameters, by their path below it."""
    found: dict[str, Any] = {}
    layers: dict[str, dict[int, NDArray[np.float32]]] = {}
    for path, array in encoder.items():
        layer = _LAYER.match(path)
        if layer is None:
            found[path] = array
        else:
            own = layers.setdefault(LAYERS + path[layer.end() :], {})
            own[int(layer.group(1))] = array
    for path, numbered in layers.items():
        found[path] = np.stack([numbered[number] for number in range(len(numbered))])
    return found


def encoder_arrays(model: T5) -> dict[str, jax.Array]:
    """The parameters of the model's encoder in float32, by their path below it; of one in 8 bits
    what its kernels stand for."""
    flat, found = flat_parameters(model), {}
    for path, array in flat.items():
        if path.startswith(ENCODER) and path.removesuffix("scale") + "kernel" not in flat:
            scale = flat.get(path.removesuffix("kernel") + "scale")
            wide = array.astype(jnp.float32)
            found[path.removeprefix(ENCODER)] = wide if scale is None else wide * scale[None, :]
    return found


@functools.lru_cache(maxsize=16)
def _template(config: T5Config) -> tuple[Any, tuple[Any, ...]]:
    """The structure of an encoder, and its parameters' keys; also within a program for a mesh,
    which does not have their logical axes."""
    with jax.sharding.use_abstract_mesh(AbstractMesh((), ())):
        encoder = nnx.eval_shape(lambda: Encoder(nnx.Rngs(params=0), config))
    graphdef, state = nnx.split(encoder)
    return graphdef, tuple(key for key, _ in nnx.to_flat_state(state))
