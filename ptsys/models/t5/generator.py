"""Generators: encoders that read examples for a meta-prompt in place of the frozen model's own."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import AbstractMesh

from ptsys.models.t5.config import T5Config
from ptsys.models.t5.layers import Dense
from ptsys.models.t5.network import T5, Encoder

ENCODER = "encoder."


def with_encoder(model: T5, arrays: Mapping[str, Any]) -> T5:
    """The model with an encoder of these parameters, by their path below it; everything else is
    the model's own, its token table too."""
    graphdef, keys = _template(model.config)
    other: T5 = nnx.merge(*nnx.split(model))  # one of this trace
    state = nnx.from_flat_state([(key, arrays[".".join(map(str, key))]) for key in keys])
    other.encoder = nnx.merge(graphdef, state)
    return other


def encoder_arrays(model: T5) -> dict[str, jax.Array]:
    """The parameters of the model's encoder in float32, by their path below it; of one in 8 bits
    what its kernels stand for."""
    found = {}
    for path, module in nnx.iter_graph(model.encoder):
        if not isinstance(module, nnx.Module):
            continue
        for name, variable in vars(module).items():
            if isinstance(variable, nnx.Param) and not (
                isinstance(module, Dense) and name == "scale"
            ):
                whole = module.matrix(jnp.float32) if isinstance(module, Dense) else variable[...]
                found[".".join(map(str, (*path, name)))] = whole.astype(jnp.float32)
    return found


@functools.lru_cache(maxsize=16)
def _template(config: T5Config) -> tuple[Any, tuple[Any, ...]]:
    """The structure of an encoder, and its parameters' keys; also within a program for a mesh,
    which does not have their logical axes."""
    with jax.sharding.use_abstract_mesh(AbstractMesh((), ())):
        encoder = nnx.eval_shape(lambda: Encoder(nnx.Rngs(params=0), config))
    graphdef, state = nnx.split(encoder)
    return graphdef, tuple(key for key, _ in nnx.to_flat_state(state))
