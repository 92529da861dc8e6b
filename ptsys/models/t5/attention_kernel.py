"""Self-attention under T5's relative bias as one Pallas kernel for TPUs: scores, bias, softmax and
their gradients stay in a core's own memory, and HBM sees queries, keys, values and results alone.

The bias of a query on a key depends on their distance, so a head's whole bias is one vector, its
*diagonals*, of which every block of queries takes a part and turns it row by row
(a Toeplitz matrix). All keys of a row fit beside a block of queries, so the softmax needs no
running sums (unlike Dao et al. 2022, FlashAttention, which this otherwise follows). The bias is
frozen and gets no gradient, which no kernel that we know of offers together with such a bias.

Shape letters: see `ptsys.models.t5.layers`; W diagonals, padded to whole lanes.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float

from ptsys.sharding.mesh import MODEL

LANES = 128
MOST_KEYS = 4096  # beside a block of queries in a core's memory
_WHOLE = 512  # up to so many queries are one block
_BLOCKS = ((2048, 256), (MOST_KEYS, 128))  # keys at most: queries in a block

Joined = Float[Array, "B S HK"]


def supports(heads: int, head_dim: int, positions: int, shards: int | None = None) -> bool:
    """Whether the kernel takes so many heads (of the whole model, over `shards` devices or those
    of the mesh that is in force) and positions: whole heads must fill a TPU's lanes on each."""
    shards = shards or _model_shards() or 1
    if heads % shards or LANES % head_dim:
        return False
    return (heads // shards) % (LANES // head_dim) == 0 and positions <= MOST_KEYS


def diagonals_width(positions: int) -> int:
    """W, for as many queries as keys."""
    return _lanes(2 * positions - 1)


def attend_in_kernel(
    query: Float[Array, "B S H K"],
    key: Float[Array, "B S H K"],
    value: Float[Array, "B S H K"],
    diagonals: Float[Array, "H W"],
    mask: Float[Array, "B S"],
    interpret: bool = False,
) -> Float[Array, "B S H K"]:
    """Softmax of scores, bias and mask in float32, not divided by sqrt(K), as
    `ptsys.models.t5.attention.attend`.

    `diagonals[h, S - 1 + d]` is the bias of a query on the key `d` positions after it; `mask` is
    added to the scores of every key. Neither gets a gradient. On another platform than a TPU the
    same is computed without the kernel, unless `interpret` runs it in Pallas's interpreter.
    """
    _, count, _, dim = query.shape
    block = _block(count)
    room = -count % block
    joined = [x.reshape(*x.shape[:2], -1) for x in (query, key, value)]
    if room:
        joined = [jnp.pad(x, ((0, 0), (0, room), (0, 0))) for x in joined]
        mask = jnp.pad(mask, ((0, 0), (0, room)), constant_values=-1e9)
        width = diagonals_width(count + room)
        diagonals = jnp.pad(diagonals[:, : 2 * count - 1], ((0, 0), (room, 0)))
        diagonals = jnp.pad(diagonals, ((0, 0), (0, width - diagonals.shape[1])))
    call = functools.partial(_attend, dim, block, interpret)
    if _model_shards() is not None:
        heads, whole = PartitionSpec(None, None, MODEL), PartitionSpec()
        call = jax.shard_map(
            call,
            in_specs=(heads, heads, heads, PartitionSpec(MODEL), whole),
            out_specs=heads,
            axis_names={MODEL},
            check_vma=False,
        )
    return call(*joined, diagonals, mask)[:, :count].reshape(query.shape)


def _model_shards() -> int | None:
    """Of the mesh in force, if it has a model axis."""
    shards: int | None = jax.sharding.get_abstract_mesh().shape.get(MODEL)
    return shards


def _lanes(count: int) -> int:
    return -(-count // LANES) * LANES


def _block(positions: int) -> int:
    if positions <= _WHOLE:
        return positions
    return next(size for most, size in _BLOCKS if positions <= most)


# ---- the function and its gradient -----------------------------------------------------------


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _attend(
    dim: int,
    block: int,
    interpret: bool,
    query: Joined,
    key: Joined,
    value: Joined,
    diagonals: Float[Array, "H W"],
    mask: Float[Array, "B S"],
) -> Joined:
    kernel = functools.partial(_forward, dim, block, interpret)
    arrays = (query, key, value, diagonals, mask)
    if interpret:
        return kernel(*arrays)
    plain = functools.partial(_plain, dim)
    out: jax.Array = jax.lax.platform_dependent(*arrays, tpu=kernel, default=plain)
    return out


def _attend_forward(
    dim: int, block: int, interpret: bool, *arrays: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    return _attend(dim, block, interpret, *arrays), arrays


def _attend_backward(
    dim: int, block: int, interpret: bool, saved: tuple[jax.Array, ...], cotangent: jax.Array
) -> tuple[jax.Array | None, ...]:
    kernel = functools.partial(_backward, dim, block, interpret)
    if interpret:
        return (*kernel(*saved, cotangent), None, None)
    plain = functools.partial(_plain_backward, dim)
    found = jax.lax.platform_dependent(*saved, cotangent, tpu=kernel, default=plain)
    return (*found, None, None)


_attend.defvjp(_attend_forward, _attend_backward)


def _plain(
    dim: int,
    query: Joined,
    key: Joined,
    value: Joined,
    diagonals: Float[Array, "H W"],
    mask: Float[Array, "B S"],
) -> Joined:
    """The same without a kernel."""
    rows, count, _ = query.shape
    split = [x.reshape(rows, count, -1, dim) for x in (query, key, value)]
    place = jnp.arange(count)
    bias = diagonals[:, place[None, :] - place[:, None] + count - 1]
    scores = jnp.einsum("bqhk,bshk->bhqs", *split[:2]).astype(jnp.float32)
    weights = jax.nn.softmax(scores + bias[None] + mask[:, None, None, :], axis=-1)
    return jnp.einsum("bhqs,bshk->bqhk", weights.astype(query.dtype), split[2]).reshape(query.shape)


def _plain_backward(dim: int, *given: jax.Array) -> tuple[jax.Array, ...]:
    query, key, value, diagonals, mask, cotangent = given
    _, pull = jax.vjp(lambda q, k, v: _plain(dim, q, k, v, diagonals, mask), query, key, value)
    found: tuple[jax.Array, ...] = pull(cotangent)
    return found


# ---- kernels ---------------------------------------------------------------------------------


def _forward(dim: int, block: int, interpret: bool, *arrays: jax.Array) -> Joined:
    query, key, value, diagonals, mask = arrays
    call = _Call(query, diagonals, dim, block, interpret)
    run = call(
        _forward_kernel,
        (call.queries, call.keys, call.keys, call.bias, call.mask),
        (call.queries,),
    )
    out: jax.Array = run(query, key, value, call.grouped(diagonals), mask[:, None, :])[0]
    return out


def _backward(
    dim: int, block: int, interpret: bool, *arrays: jax.Array
) -> tuple[Joined, Joined, Joined]:
    query, key, value, diagonals, mask, cotangent = arrays
    call = _Call(query, diagonals, dim, block, interpret)
    found: tuple[jax.Array, jax.Array, jax.Array] = call(
        _backward_kernel,
        (call.queries, call.keys, call.keys, call.queries, call.bias, call.mask),
        (call.queries, call.keys, call.keys),
        scratch=[pltpu.VMEM((query.shape[1], call.width), jnp.float32)] * 2,
    )(query, key, value, cotangent, call.grouped(diagonals), mask[:, None, :])
    return found


class _Call:
    """A grid of rows x groups of heads x blocks of queries, and which part of each array a
    program of it sees. Blocks of queries come in order, so that gradients of keys add up."""

    def __init__(
        self, query: Joined, diagonals: Float[Array, "H W"], dim: int, block: int, interpret: bool
    ) -> None:
        rows, count, _ = query.shape
        self._like = jax.ShapeDtypeStruct(query.shape, query.dtype)
        self._dim, self._interpret = dim, interpret
        self._group = LANES // dim  # heads of a program
        groups = diagonals.shape[0] // self._group
        self._grid = (rows, groups, count // block)
        self.width = self._group * dim
        self.queries = pl.BlockSpec((1, block, self.width), lambda b, h, i: (b, i, h))
        self.keys = pl.BlockSpec((1, count, self.width), lambda b, h, i: (b, 0, h))
        self.bias = pl.BlockSpec((1, self._group, diagonals.shape[1]), lambda b, h, i: (h, 0, 0))
        self.mask = pl.BlockSpec((1, 1, count), lambda b, h, i: (b, 0, 0))

    def grouped(self, diagonals: Float[Array, "H W"]) -> Float[Array, "G h W"]:
        """Heads by program."""
        return diagonals.reshape(-1, self._group, diagonals.shape[1])

    def __call__(self, kernel: Any, inputs: Any, outputs: Any, scratch: Any = ()) -> Any:
        return pl.pallas_call(
            functools.partial(kernel, self._group, self._dim),
            grid=self._grid,
            in_specs=inputs,
            out_specs=outputs,
            out_shape=[self._like] * len(outputs),
            scratch_shapes=scratch,
            interpret=self._interpret,
            compiler_params=pltpu.CompilerParams(
                dimension_semantics=("parallel", "parallel", "arbitrary")
            ),
        )


def _forward_kernel(
    group: int, dim: int, query: Any, key: Any, value: Any, bias: Any, mask: Any, out: Any
) -> None:
    for head in range(group):
        at = slice(head * dim, (head + 1) * dim)
        weights = _weights(query[0, :, at], key[0, :, at], bias[0, head : head + 1, :], mask[0])
        values = value[0, :, at]
        out[0, :, at] = _product(weights.astype(values.dtype), values, (1, 0)).astype(out.dtype)


def _backward_kernel(
    group: int,
    dim: int,
    query: Any,
    key: Any,
    value: Any,
    cotangent: Any,
    bias: Any,
    mask: Any,
    of_query: Any,
    of_key: Any,
    of_value: Any,
    key_sum: Any,
    value_sum: Any,
) -> None:
    @pl.when(pl.program_id(2) == 0)
    def _begin() -> None:
        key_sum[...] = jnp.zeros_like(key_sum)
        value_sum[...] = jnp.zeros_like(value_sum)

    for head in range(group):
        at = slice(head * dim, (head + 1) * dim)
        q, k, v, of_out = (x[0, :, at] for x in (query, key, value, cotangent))
        weights = _weights(q, k, bias[0, head : head + 1, :], mask[0])
        value_sum[:, at] += _product(weights.astype(of_out.dtype), of_out, (0, 0))
        of_weights = _product(of_out, v, (1, 1))
        mean = jnp.sum(weights * of_weights, axis=1, keepdims=True)
        of_scores = (weights * (of_weights - mean)).astype(q.dtype)
        of_query[0, :, at] = _product(of_scores, k, (1, 0)).astype(of_query.dtype)
        key_sum[:, at] += _product(of_scores, q, (0, 0))

    @pl.when(pl.program_id(2) == pl.num_programs(2) - 1)
    def _end() -> None:
        of_key[0] = key_sum[...].astype(of_key.dtype)
        of_value[0] = value_sum[...].astype(of_value.dtype)


def _weights(
    query: Float[Array, "q K"],
    key: Float[Array, "S K"],
    diagonals: Float[Array, "1 W"],
    mask: Float[Array, "1 S"],
) -> Float[Array, "q S"]:
    """The softmax of this block of queries on all keys, in float32."""
    scores = _product(query, key, (1, 1)) + _bias(diagonals, len(query), len(key)) + mask
    powers = jnp.exp(scores - jnp.max(scores, axis=1, keepdims=True))
    return powers / jnp.sum(powers, axis=1, keepdims=True)


def _bias(diagonals: Float[Array, "1 W"], queries: int, keys: int) -> Float[Array, "q S"]:
    """Row `a` begins one place of the diagonals before row `a - 1`."""
    width = diagonals.shape[1]
    first = keys - (pl.program_id(2) + 1) * queries  # where the last row begins
    turned = _lanes(queries - 1)  # Mosaic turns rows by whole lanes and their number
    part = min(turned + _lanes(keys), width)
    before = turned - (queries - 1)
    row = pltpu.roll(diagonals, (width - first + before) % width, 1)[:, :part]
    wide = jnp.broadcast_to(row, (queries, part))
    return pltpu.roll(wide, part - turned, 1, stride=1, stride_axis=0)[:, :keys]


def _product(x: jax.Array, y: jax.Array, over: tuple[int, int]) -> jax.Array:
    """Over these axes, summed in float32."""
    numbers = (((over[0],), (over[1],)), ((), ()))
    return jax.lax.dot_general(x, y, numbers, preferred_element_type=jnp.float32)
