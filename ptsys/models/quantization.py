"""Weight-only storage of a frozen model's kernels as 8-bit integers.

Every output channel of a kernel has a float32 scale, so that its largest weight becomes 127
(symmetric, per channel, round to nearest: LLM.int8(), Dettmers et al. 2022, section 2, without its
outlier part, which activations need and weights do not). Products are computed in the activations'
type: memory and its traffic halve against bfloat16, arithmetic stays. Embeddings, norms and
relative biases stay as they are.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int8

from ptsys.models.t5.layers import Dense
from ptsys.models.t5.network import T5

LARGEST = 127.0


def quantize(model: T5) -> T5:
    """The model with every kernel in 8 bits, where it lies: no device holds more than its part
    of a kernel. The model given keeps its own weights."""
    copy: T5 = nnx.clone(model, variables=False)
    for _, module in nnx.iter_graph(copy):
        if isinstance(module, Dense):
            values, scale = quantized(module.kernel[...])
            axes = module.kernel.get_metadata()["out_sharding"]
            module.kernel = nnx.Param(values, out_sharding=axes, eager_sharding=False)
            module.scale = nnx.Param(scale, out_sharding=axes[1:], eager_sharding=False)
    return copy


def quantized(kernel: Float[Array, "I O"]) -> tuple[Int8[Array, "I O"], Float[Array, " O"]]:
    """The kernel as integers and each column's scale; their product is the kernel but for half a
    scale at most. Columns of zeros have scale 1."""
    sharding = kernel.sharding
    if not isinstance(sharding, NamedSharding):
        found: tuple[jax.Array, jax.Array] = jax.jit(_quantized)(kernel)
        return found
    columns = PartitionSpec((*sharding.spec, None, None)[1])
    where = (sharding, NamedSharding(sharding.mesh, columns))
    spread: tuple[jax.Array, jax.Array] = jax.jit(_quantized, out_shardings=where)(kernel)
    return spread


def _quantized(kernel: jax.Array) -> tuple[jax.Array, jax.Array]:
    wide = kernel.astype(jnp.float32)
    most = jnp.max(jnp.abs(wide), axis=0)
    scale = jnp.where(most > 0, most / LARGEST, 1.0)
    return jnp.round(wide / scale[None, :]).astype(jnp.int8), scale
