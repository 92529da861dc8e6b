"""The gradient pass: the gradient of every user's prompt, and of nothing else.

Rows run through the model a chunk at a time, as many as fit, and only chunks that hold rows: what
a batch costs is its rows' positions, not the size it was compiled for, and a chunk's activations
are all that is held.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ptsys.kinds.batch import Prompts, Rows, prompt_mask, real_rows, take_slots
from ptsys.models.execution import Execution
from ptsys.models.t5.network import T5
from ptsys.passes.frozen import Frozen
from ptsys.passes.loss import row_losses
from ptsys.sharding.mesh import ROWS, WHOLE, agreed_any, each_shard

LEAST_ROWS = 8  # a chunk
LEAST_POSITIONS = 8  # that a row counts as at least
PACKED_INPUTS = 64  # from this length on; in shorter rows the decoder's share is too large


class Gradients(NamedTuple):
    """What the gradient pass returns; losses in nats a token."""

    loss: Float[Array, " U"]
    tokens: Float[Array, " U"]
    values: Float[Array, "U P D"]
    row_loss: Float[Array, " B"]
    predicted: Int[Array, "B T"]


class _Chunk(NamedTuple):
    """A few rows' summed token loss, its gradient for their own prompts, and predictions."""

    loss: Float[Array, " b"]
    values: Float[Array, "b P D"]
    predicted: Int[Array, "b T"]


class _Filled(NamedTuple):
    """Losses and predictions of all rows, and the sum of their gradients by slot."""

    loss: Float[Array, " B"]
    predicted: Int[Array, "B T"]
    sums: Float[Array, "U P D"]


def slot_gradients(
    frozen: Frozen,
    prompts: Prompts,
    rows: Rows,
    z_loss: Float[Array, " U"] | None = None,
    *,
    packed: bool = False,
) -> Gradients:
    """Gradient of each slot's mean token loss. Traceable; `gradients` is its jitted form. `packed`
    is for rows of very different lengths: see `chunk_size`.

    Every row's gradient is taken for its own copy of its slot's prompt and added to that slot
    alone, so no user's numbers can reach another's.
    """
    slots, width = prompts.values.shape[:2]
    model = frozen.model()
    mask = prompt_mask(prompts.length, width)
    values = jnp.where(mask[:, :, None], prompts.values, 0)
    total = _tokens(rows, slots)
    count, inputs = rows.inputs.shape
    size = chunk_size(width, inputs, count, frozen.execution, packed=packed)

    def chunk(part: Rows) -> _Chunk:
        weight = 1 / jnp.maximum(take_slots(total, part.slot, 1), 1)
        own = Prompts(values, prompts.length)
        return _chunk(model, own, part, weight, z_loss, size.positions)

    positions = take_slots(prompts.length, rows.slot, 0) + jnp.sum(rows.inputs > 0, axis=1)
    found = _every_chunk(chunk, size, rows, positions, values)
    losses = _add(jnp.zeros((slots,), found.loss.dtype), rows.slot, found.loss)
    return Gradients(
        loss=losses / jnp.maximum(total, 1),
        tokens=total,
        values=jnp.where(mask[:, :, None], found.sums, 0),
        row_loss=found.loss / jnp.maximum(jnp.sum(rows.targets > 0, axis=1), 1),
        predicted=found.predicted,
    )


class ChunkSize(NamedTuple):
    """The most rows of a chunk, and the most positions they may have together; None where they
    are not packed."""

    rows: int
    positions: int | None


def chunk_size(
    prompt: int, inputs: int, rows: int, execution: Execution, *, packed: bool = False
) -> ChunkSize:
    """The size of chunks of rows padded to so many prompt and input positions.

    Rows are a power of two, as many as `execution.chunk_positions` hold but `LEAST_ROWS` at
    least. With `packed`, where inputs are long enough to be worth it, twice as many rows share
    these positions, if they fill but half of theirs; full rows then cost about a fifth more than
    unpacked, as the decoder computes the room of those that are not there.
    """
    positions = prompt + inputs
    fitting = max(execution.chunk_positions // max(positions, LEAST_POSITIONS), 1)
    full = max(1 << (fitting.bit_length() - 1), LEAST_ROWS)
    if not packed or inputs < PACKED_INPUTS or rows <= full:
        return ChunkSize(min(full, rows), None)
    return ChunkSize(2 * full, full * positions)


def _chunk(
    model: T5,
    prompts: Prompts,
    rows: Rows,
    weight: Float[Array, " b"],
    z_loss: Float[Array, " U"] | None,
    capacity: int | None,
) -> _Chunk:
    """Gradient of the rows' weighted losses for each row's own copy of its prompt."""
    own = take_slots(prompts.values, rows.slot, 0)
    own_length = take_slots(prompts.length, rows.slot, 0)
    own_z_loss = None if z_loss is None else take_slots(z_loss, rows.slot, 0)
    number = jnp.arange(rows.slot.shape[0], dtype=jnp.int32)
    each = rows._replace(slot=number)

    def total(values: Float[Array, "b P D"]) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        losses = row_losses(model, Prompts(values, own_length), each, own_z_loss, capacity)
        return jnp.sum(losses.loss * weight), (losses.loss, losses.predicted)

    values, (loss, predicted) = jax.grad(total, has_aux=True)(own)
    return _Chunk(loss, values, predicted.astype(jnp.int32))


def _every_chunk(
    chunk: Callable[[Rows], _Chunk],
    size: ChunkSize,
    rows: Rows,
    positions: Int[Array, " B"],
    values: Float[Array, "U P D"],
) -> _Filled:
    """All rows, in their order, a chunk at a time: as many as `size` holds. Padding belongs at
    the end; no chunk begins there."""
    count, slots = rows.slot.shape[0], values.shape[0]
    used = jnp.max(jnp.where(real_rows(rows.slot, slots), jnp.arange(count) + 1, 0))
    room = [(0, size.rows)]  # a chunk that begins at the last row
    rows = Rows(*(jnp.pad(x, room + [(0, 0)] * (x.ndim - 1)) for x in rows))
    rows = rows._replace(slot=rows.slot.at[count:].set(slots))
    positions = jnp.pad(positions, room)

    def unfinished(now: tuple[Int[Array, ""], _Filled]) -> jax.Array:
        return agreed_any(now[0][None] < used)

    def step(now: tuple[Int[Array, ""], _Filled]) -> tuple[Int[Array, ""], _Filled]:
        start, done = now[0], now[1]
        start = jnp.minimum(start, count)
        taken = jnp.ones((size.rows,), bool)
        if size.positions is not None:
            fits = jnp.cumsum(jax.lax.dynamic_slice_in_dim(positions, start, size.rows))
            taken = fits <= size.positions
        part = Rows(*(jax.lax.dynamic_slice_in_dim(x, start, size.rows) for x in rows))
        found = chunk(
            Rows(
                jnp.where(taken[:, None], part.inputs, 0),
                jnp.where(taken[:, None], part.targets, 0),
                jnp.where(taken, part.slot, slots),
            )
        )

        def put(all_rows: jax.Array, own: jax.Array) -> jax.Array:  # later chunks write over it
            return jax.lax.dynamic_update_slice_in_dim(all_rows, own, start, 0)

        return start + jnp.sum(taken, dtype=jnp.int32), _Filled(
            put(done.loss, found.loss),
            put(done.predicted, found.predicted),
            _add(done.sums, jnp.where(taken, part.slot, slots), found.values),
        )

    empty = _Filled(
        jnp.zeros(rows.slot.shape, values.dtype),
        jnp.zeros(rows.targets.shape, jnp.int32),
        jnp.zeros_like(values),
    )
    _, filled = jax.lax.while_loop(unfinished, step, (jnp.zeros((), jnp.int32), empty))
    return filled._replace(loss=filled.loss[:count], predicted=filled.predicted[:count])


def _add(
    sums: Float[Array, " U *rest"], slot: Int[Array, " B"], rows: Float[Array, " B *rest"]
) -> Float[Array, " U *rest"]:
    """Add every row to its slot; padding rows to none."""
    return sums.at[slot].add(rows, mode="drop", wrap_negative_indices=False)


@functools.partial(jax.jit, static_argnames=("packed",))
def gradients(
    frozen: Frozen,
    prompts: Prompts,
    rows: Rows,
    z_loss: Float[Array, " U"] | None = None,
    *,
    packed: bool = False,
) -> Gradients:
    """`slot_gradients` on every data shard, each with its own slots and its own rows; the
    arguments are the shards' one after another, and `rows.slot` counts within a shard."""
    own = functools.partial(slot_gradients, packed=packed)
    spread = each_shard(frozen.mesh, own, (WHOLE, ROWS, ROWS, ROWS), ROWS)
    return spread(frozen, prompts, rows, z_loss)


def _tokens(rows: Rows, slots: int) -> Float[Array, " U"]:
    """Target tokens of every slot."""
    own = jnp.sum(rows.targets > 0, axis=1).astype(jnp.float32)
    return _add(jnp.zeros((slots,), jnp.float32), rows.slot, own)
