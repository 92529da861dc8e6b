"""The gradient pass: the gradient of every user's prompt, and of nothing else.

Rows run through the model a chunk at a time, as many as fit, and only chunks that hold rows: what
a batch costs is its rows' positions, not the size it was compiled for, and a chunk's activations
are all that is held.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ptsys.kinds.batch import Readings, Rows, add_slots, masked, real_rows, take_each, take_slots
from ptsys.kinds.model_kind import ChunkSize, ModelKind
from ptsys.passes.frozen import Frozen
from ptsys.sharding.mesh import ROWS, WHOLE, agreed_any, each_shard


class Gradients(NamedTuple):
    """What the gradient pass returns; losses are means over what a row's loss counts (for text in
    nats a token)."""

    loss: Float[Array, " V"]
    tokens: Float[Array, " V"]
    values: dict[str, Float[Array, "V P *rest"]]
    row_loss: Float[Array, " B"]
    predicted: Int[Array, "B T"]


class _Chunk(NamedTuple):
    """A few rows' summed loss, its gradient for their own readings, and predictions."""

    loss: Float[Array, " b"]
    values: dict[str, Float[Array, "b P *rest"]]
    predicted: Int[Array, "b T"]


class _Filled(NamedTuple):
    """Losses and predictions of all rows, and the sum of their gradients by slot."""

    loss: Float[Array, " B"]
    predicted: Int[Array, "B T"]
    sums: dict[str, Float[Array, "V P *rest"]]


def slot_gradients(
    frozen: Frozen,
    readings: Readings,
    rows: Rows,
    z_loss: Float[Array, " V"] | None = None,
    *,
    members: int = 1,
    packed: bool = False,
) -> Gradients:
    """Gradient of each slot's mean loss. Traceable; `gradients` is its jitted form.

    Every row's gradient is taken for its own copy of its slot's reading and added to that slot
    alone, so no user's numbers can reach another's. So many `members`, neighbours among the
    readings, are one prompt's: its loss, which the gradients are of, is the mean over all theirs.
    `packed` is for rows of very different lengths: see `ModelKind.chunk`.
    """
    kind: ModelKind = frozen.kind
    slots, count = readings.number, rows.slot.shape[0]
    model = frozen.model()
    own = masked(readings)
    row_tokens = kind.tokens(rows.features)
    tokens = add_slots(jnp.zeros((slots,), jnp.float32), rows.slot, row_tokens)
    total = jnp.repeat(jnp.sum(tokens.reshape(-1, members), axis=1), members)
    size = kind.chunk(own.values, rows.features, frozen.execution, packed=packed)

    def chunk(part: Rows) -> _Chunk:
        weight = 1 / jnp.maximum(take_slots(total, part.slot, 1), 1)
        return _chunk(kind, model, own, part, weight, z_loss, size.positions)

    positions = kind.positions(take_each(readings.length, rows.slot), rows.features)
    found = _every_chunk(chunk, size, rows, positions, own, count)
    losses = add_slots(jnp.zeros((slots,), found.loss.dtype), rows.slot, found.loss)
    return Gradients(
        loss=losses / jnp.maximum(tokens, 1),
        tokens=tokens,
        values=masked(Readings(found.sums, readings.length)).values,
        row_loss=found.loss / jnp.maximum(row_tokens, 1),
        predicted=found.predicted,
    )


def _chunk(
    kind: ModelKind,
    model: Any,
    readings: Readings,
    rows: Rows,
    weight: Float[Array, " b"],
    z_loss: Float[Array, " V"] | None,
    capacity: int | None,
) -> _Chunk:
    """Gradient of the rows' weighted losses for each row's own copy of its reading."""
    own = take_each(readings, rows.slot)
    own_z_loss = None if z_loss is None else take_slots(z_loss, rows.slot, 0)

    def total(values: dict[str, Any]) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        each = masked(own._replace(values=values))
        losses = kind.losses(model, each, rows.features, own_z_loss, capacity)
        return jnp.sum(losses.loss * weight), (losses.loss, losses.predicted)

    values, (loss, predicted) = jax.grad(total, has_aux=True)(own.values)
    return _Chunk(loss, values, predicted.astype(jnp.int32))


def _every_chunk(
    chunk: Callable[[Rows], _Chunk],
    size: ChunkSize,
    rows: Rows,
    positions: Int[Array, " B"],
    readings: Readings,
    count: int,
) -> _Filled:
    """All rows, in their order, a chunk at a time: as many as `size` holds. Padding belongs at
    the end; no chunk begins there."""
    slots = readings.number
    used = jnp.max(jnp.where(real_rows(rows.slot, slots), jnp.arange(count) + 1, 0))

    def roomy(x: jax.Array) -> jax.Array:  # a chunk may begin at the last row
        return jnp.pad(x, [(0, size.rows)] + [(0, 0)] * (x.ndim - 1))

    rows = jax.tree.map(roomy, rows)
    rows = rows._replace(slot=rows.slot.at[count:].set(slots))
    positions = roomy(positions)

    def part_from(start: Int[Array, ""]) -> tuple[Rows, jax.Array]:
        taken = jnp.ones((size.rows,), bool)
        if size.positions is not None:
            fits = jnp.cumsum(jax.lax.dynamic_slice_in_dim(positions, start, size.rows))
            taken = fits <= size.positions
        part = jax.tree.map(lambda x: jax.lax.dynamic_slice_in_dim(x, start, size.rows), rows)
        features = {
            name: jnp.where(taken.reshape(-1, *[1] * (x.ndim - 1)), x, 0)
            for name, x in part.features.items()
        }
        return Rows(features, jnp.where(taken, part.slot, slots)), taken

    def unfinished(now: tuple[Int[Array, ""], _Filled]) -> jax.Array:
        return agreed_any(now[0][None] < used)

    def step(now: tuple[Int[Array, ""], _Filled]) -> tuple[Int[Array, ""], _Filled]:
        start, done = now[0], now[1]
        start = jnp.minimum(start, count)
        part, taken = part_from(start)
        found = chunk(part)

        def put(all_rows: jax.Array, own: jax.Array) -> jax.Array:  # later chunks write over it
            return jax.lax.dynamic_update_slice_in_dim(all_rows, own, start, 0)

        sums = {name: add_slots(done.sums[name], part.slot, x) for name, x in found.values.items()}
        filled = _Filled(put(done.loss, found.loss), put(done.predicted, found.predicted), sums)
        return start + jnp.sum(taken, dtype=jnp.int32), filled

    one = jax.eval_shape(lambda: chunk(part_from(jnp.zeros((), jnp.int32))[0]))
    empty = _Filled(
        jnp.zeros(rows.slot.shape, one.loss.dtype),
        jnp.zeros((count + size.rows, *one.predicted.shape[1:]), one.predicted.dtype),
        {name: jnp.zeros_like(x) for name, x in readings.values.items()},
    )
    _, filled = jax.lax.while_loop(unfinished, step, (jnp.zeros((), jnp.int32), empty))
    return filled._replace(loss=filled.loss[:count], predicted=filled.predicted[:count])


@functools.partial(jax.jit, static_argnames=("packed",))
def gradients(
    frozen: Frozen,
    readings: Readings,
    rows: Rows,
    z_loss: Float[Array, " V"] | None = None,
    *,
    packed: bool = False,
) -> Gradients:
    """`slot_gradients` on every data shard, each with its own slots and its own rows; the
    arguments are the shards' one after another, and `rows.slot` counts within a shard."""
    own = functools.partial(slot_gradients, packed=packed)
    spread = each_shard(frozen.mesh, own, (WHOLE, ROWS, ROWS, ROWS), ROWS)
    return spread(frozen, readings, rows, z_loss)
