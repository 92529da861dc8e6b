"""How queries attend: all at once, a block at a time, or in a TPU kernel.

Shape letters: see `ptsys.models.t5.layers`; W diagonals.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ptsys.models.execution import even_blocks
from ptsys.models.t5.attention_kernel import attend_in_kernel

MASKED = -1e9  # finite, so that a fully masked row stays finite; exp() of it is exactly 0


@dataclasses.dataclass(frozen=True)
class BlockBias:
    """The bias of queries that attend at most `block` at a time: `of` gives it for those at some
    positions, [q] -> [#B, #H, q, S]."""

    of: Callable[[Int[Array, " q"]], Float[Array, "#B #H q S"]]
    block: int


@dataclasses.dataclass(frozen=True)
class KernelBias:
    """The bias of as many queries as keys for `attend_in_kernel`: by distance, and by key."""

    diagonals: Float[Array, "H W"]
    mask: Float[Array, "B S"]


Bias = Float[Array, "#B #H #Q _"] | BlockBias | KernelBias


def attend_by(
    query: Float[Array, "B Q H K"],
    key: Float[Array, "B S H K"],
    value: Float[Array, "B S H K"],
    bias: Bias,
    second: Bool[Array, ""] | None = None,
) -> Float[Array, "B Q H K"]:
    """Attend in the way that the bias is given for. With `second` the second half of the rows is
    left out unless it is true; blocks attend all of them anyway."""
    if isinstance(bias, BlockBias):
        return attend_in_blocks(query, key, value, bias)
    if isinstance(bias, KernelBias):
        call: Callable[..., jax.Array] = functools.partial(_in_kernel, bias.diagonals)
        of_rows = bias.mask
    else:
        call, of_rows = attend, bias
    if second is None or len(key) == 1:
        return call(query, key, value, of_rows)
    return _in_halves(call, second, query, key, value, of_rows)


def attend(
    query: Float[Array, "B Q H K"],
    key: Float[Array, "B S H K"],
    value: Float[Array, "B S H K"],
    bias: Float[Array, "#B #H #Q S"],
) -> Float[Array, "B Q H K"]:
    """Softmax of scores and bias in float32, not divided by sqrt(K)."""
    scores = jnp.einsum("bqhk,bshk->bhqs", query, key)
    biased = scores.astype(jnp.float32) + bias.astype(jnp.float32)
    weights = jax.nn.softmax(biased, axis=-1).astype(query.dtype)
    return jnp.einsum("bhqs,bshk->bqhk", weights, value)


def _in_kernel(diagonals: jax.Array, *arrays: jax.Array) -> jax.Array:
    query, key, value, mask = arrays
    return attend_in_kernel(query, key, value, diagonals, mask)


def _in_halves(
    call: Callable[..., jax.Array], second: Bool[Array, ""], *arrays: jax.Array
) -> Float[Array, "B Q H K"]:
    """`call` on the first half of the rows, and on the second if there are any, else zeros."""
    half = len(arrays[0]) // 2
    first = call(*(x[:half] for x in arrays))
    rest = [x[half:] for x in arrays]
    later = jax.lax.cond(second, call, lambda query, *_: jnp.zeros_like(query), *rest)
    return jnp.concatenate([first, later])


def attend_in_blocks(
    query: Float[Array, "B Q H K"],
    key: Float[Array, "B S H K"],
    value: Float[Array, "B S H K"],
    bias: BlockBias,
) -> Float[Array, "B Q H K"]:
    """`attend`, a block of queries at a time, whose scores are computed again in the backward
    pass: memory grows with Q and S, not with their product (Rabe & Staats 2021, section 3)."""
    count = query.shape[1]
    blocks, size = even_blocks(count, bias.block)
    padded = jnp.pad(query, ((0, 0), (0, blocks * size - count), (0, 0), (0, 0)))

    @jax.checkpoint
    def attended(start: Int[Array, ""], key: jax.Array, value: jax.Array) -> jax.Array:
        part = jax.lax.dynamic_slice_in_dim(padded, start, size, axis=1)
        return attend(part, key, value, bias.of(start + jnp.arange(size)))

    out = jax.lax.map(lambda start: attended(start, key, value), jnp.arange(blocks) * size)
    return jnp.moveaxis(out, 0, 1).reshape(padded.shape)[:, :count]


def mask_bias(mask: Bool[Array, "*lead S"]) -> Float[Array, "*lead S"]:
    """0 where attention is allowed, a large negative number elsewhere."""
    return jnp.where(mask, 0.0, MASKED)


def bias_in_blocks(
    of: Callable[[Int[Array, " q"]], Float[Array, "#B #H q S"]], queries: int, block: int
) -> Bias:
    """The bias of all queries, whole where no more than `block` attend."""
    return BlockBias(of, block) if queries > block else of(jnp.arange(queries))
