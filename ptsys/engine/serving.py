"""How a frozen model is laid out on its devices: mesh, types, rules and execution."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh

from ptsys.config import Settings
from ptsys.models.execution import Attention, Execution, Remat
from ptsys.models.loaded import LoadedModel
from ptsys.models.placement import placement
from ptsys.models.quantization import quantize
from ptsys.models.registry import Registry
from ptsys.sharding.mesh import make_mesh
from ptsys.sharding.rules import LogicalRules

Weights = Literal["float32", "bfloat16", "int8"]
CACHE_POSITIONS = 512  # activations of as many stay in a core's cache (d_model 128, measured)
MEMORY_POSITIONS = 8192  # of a chunk where activations lie in an accelerator's memory
WHOLE_QUERIES, BLOCK_QUERIES = Execution.attention_block, 128  # on a CPU, elsewhere


@dataclasses.dataclass(frozen=True)
class Serving:
    """`model_shards` devices share the weights of one data shard. `weights` says how they are
    kept: activations are float32 with float32 weights, else bfloat16; softmax, norms and losses
    are float32 always; int8 stores kernels in 8 bits (`ptsys.models.quantization`).
    What is None is what suits the devices."""

    model_shards: int = 1
    weights: Weights = "float32"
    rules: LogicalRules = LogicalRules()
    remat: Remat = "none"
    attention: Attention | None = None
    attention_block: int | None = None
    vocabulary_block: int = 512
    chunk_positions: int | None = None

    @classmethod
    def of(cls, settings: Settings) -> Serving:
        """As a deployment's settings say."""
        return cls(
            model_shards=settings.model_shards,
            weights=settings.weights,
            remat=settings.remat,
            chunk_positions=settings.chunk_positions,
        )

    def mesh(self, devices: Sequence[jax.Device]) -> Mesh:
        """The mesh of these devices. Raises InvalidInput where `model_shards` does not divide
        them."""
        return make_mesh(devices, model=self.model_shards)

    def execution(self, mesh: Mesh) -> Execution:
        """What the passes hold and compute again on these devices."""
        platform = mesh.devices.flat[0].platform
        cpu = platform == "cpu"
        return Execution(
            remat=self.remat,
            attention_block=self.attention_block or (WHOLE_QUERIES if cpu else BLOCK_QUERIES),
            vocabulary_block=self.vocabulary_block,
            chunk_positions=self.chunk_positions or (CACHE_POSITIONS if cpu else MEMORY_POSITIONS),
            attention=self.attention or ("kernel" if platform == "tpu" else "blocks"),
        )

    def load(self, registry: Registry, name: str, mesh: Mesh) -> LoadedModel:
        """A model with every weight where it will stay: no device, and of an imported model no
        host, ever holds all of them. Raises NotFound, and InvalidInput if its files are damaged."""
        dtype = jnp.float32 if self.weights == "float32" else jnp.bfloat16
        loaded = registry.load(name, dtype=dtype, placement=placement(mesh, self.rules))
        params = jax.tree.map(lambda x: x.astype(dtype), loaded.params)  # a built-in is float32
        loaded = dataclasses.replace(loaded, params=params)
        if self.weights != "int8":
            return loaded
        graphdef, params = nnx.split(quantize(loaded.model))
        return dataclasses.replace(loaded, graphdef=graphdef, params=params)
