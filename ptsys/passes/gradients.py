"""The gradient pass: the gradient of every user's prompt, and of nothing else.

Rows run through the model a chunk at a time, and only chunks that hold rows: what a batch costs
is its rows, not the size it was compiled for, and a chunk's activations are all that is held.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ptsys.models.t5 import T5
from ptsys.passes.batch import Prompts, Rows, prompt_mask, real_rows, take_slots
from ptsys.passes.frozen import Frozen
from ptsys.passes.loss import row_losses
from ptsys.sharding.mesh import ROWS, WHOLE, agreed, each_shard

LEAST_ROWS = 8  # a chunk
LEAST_POSITIONS = 8  # that a row counts as at least


class Gradients(NamedTuple):
    """What the gradient pass returns; losses in nats a token."""

    loss: Float[Array, "U"]
    tokens: Float[Array, "U"]
    values: Float[Array, "U P D"]
    row_loss: Float[Array, "B"]
    predicted: Int[Array, "B T"]


class _Chunk(NamedTuple):
    """A few rows' summed token loss, its gradient for their own prompts, and predictions."""

    loss: Float[Array, "b"]
    values: Float[Array, "b P D"]
    predicted: Int[Array, "b T"]


class _Filled(NamedTuple):
    """Losses and predictions of all rows, and the sum of their gradients by slot."""

    loss: Float[Array, "B"]
    predicted: Int[Array, "B T"]
    sums: Float[Array, "U P D"]


def slot_gradients(
    frozen: Frozen,
    prompts: Prompts,
    rows: Rows,
    z_loss: Float[Array, "U"] | None = None,
) -> Gradients:
    """Gradient of each slot's mean token loss. Traceable; `gradients` is its jitted form.

    Every row's gradient is taken for its own copy of its slot's prompt and added to that slot
    alone, so no user's numbers can reach another's.
    """
    slots, width = prompts.values.shape[:2]
    model = frozen.model()
    mask = prompt_mask(prompts.length, width)
    values = jnp.where(mask[:, :, None], prompts.values, 0)
    total = _tokens(rows, slots)

    def chunk(part: Rows) -> _Chunk:
        weight = 1 / jnp.maximum(take_slots(total, part.slot, 1), 1)
        return _chunk(model, Prompts(values, prompts.length), part, weight, z_loss)

    size = chunk_rows(values.shape[1] + rows.inputs.shape[1], frozen.execution.chunk_positions)
    found = _every_chunk(chunk, size, rows, values)
    losses = _add(jnp.zeros((slots,), found.loss.dtype), rows.slot, found.loss)
    return Gradients(
        loss=losses / jnp.maximum(total, 1),
        tokens=total,
        values=jnp.where(mask[:, :, None], found.sums, 0),
        row_loss=found.loss / jnp.maximum(jnp.sum(rows.targets > 0, axis=1), 1),
        predicted=found.predicted,
    )


def chunk_rows(positions: int, most: int) -> int:
    """Rows a chunk, a power of two, for rows of so many positions (prompt and input) of which a
    chunk holds `most`, but for the least number of rows."""
    fitting = max(most // max(positions, LEAST_POSITIONS), 1)
    return max(1 << (fitting.bit_length() - 1), LEAST_ROWS)


def _chunk(
    model: T5,
    prompts: Prompts,
    rows: Rows,
    weight: Float[Array, "b"],
    z_loss: Float[Array, "U"] | None,
) -> _Chunk:
    """Gradient of the rows' weighted losses for each row's own copy of its prompt."""
    own = take_slots(prompts.values, rows.slot, 0)
    own_length = take_slots(prompts.length, rows.slot, 0)
    own_z_loss = None if z_loss is None else take_slots(z_loss, rows.slot, 0)
    number = jnp.arange(rows.slot.shape[0], dtype=jnp.int32)
    each = rows._replace(slot=number)

    def total(values: Float[Array, "b P D"]) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
        losses = row_losses(model, Prompts(values, own_length), each, own_z_loss)
        return jnp.sum(losses.loss * weight), (losses.loss, losses.predicted)

    values, (loss, predicted) = jax.grad(total, has_aux=True)(own)
    return _Chunk(loss, values, predicted.astype(jnp.int32))


def _every_chunk(
    chunk: Callable[[Rows], _Chunk], size: int, rows: Rows, values: Float[Array, "U P D"]
) -> _Filled:
    """All rows, a chunk at a time. Chunks after the last real row are skipped, so padding belongs
    at the end."""
    count, slots = rows.slot.shape[0], values.shape[0]
    size = min(count, size)
    spare = -count % size
    if spare:
        rows = Rows(*(jnp.pad(x, [(0, spare)] + [(0, 0)] * (x.ndim - 1)) for x in rows))
        rows = rows._replace(slot=rows.slot.at[count:].set(slots))
    used = jnp.max(jnp.where(real_rows(rows.slot, slots), jnp.arange(count + spare) + 1, 0))

    def step(i: Int[Array, ""], done: _Filled) -> _Filled:
        part = Rows(*(jax.lax.dynamic_slice_in_dim(x, i * size, size) for x in rows))
        found = chunk(part)

        def put(all_rows: jax.Array, own: jax.Array) -> jax.Array:
            return jax.lax.dynamic_update_slice_in_dim(all_rows, own, i * size, 0)

        return _Filled(
            put(done.loss, found.loss),
            put(done.predicted, found.predicted),
            _add(done.sums, part.slot, found.values),
        )

    empty = _Filled(
        jnp.zeros((count + spare,), values.dtype),
        jnp.zeros(rows.targets.shape, jnp.int32),
        jnp.zeros_like(values),
    )
    filled: _Filled = jax.lax.fori_loop(0, agreed((used + size - 1) // size), step, empty)
    return filled._replace(loss=filled.loss[:count], predicted=filled.predicted[:count])


def _add(
    sums: Float[Array, "U *rest"], slot: Int[Array, "B"], rows: Float[Array, "B *rest"]
) -> Float[Array, "U *rest"]:
    """Add every row to its slot; padding rows to none."""
    return sums.at[slot].add(rows, mode="drop", wrap_negative_indices=False)


@jax.jit
def gradients(
    frozen: Frozen, prompts: Prompts, rows: Rows, z_loss: Float[Array, "U"] | None = None
) -> Gradients:
    """`slot_gradients` on every data shard, each with its own slots and its own rows; the
    arguments are the shards' one after another, and `rows.slot` counts within a shard."""
    spread = each_shard(frozen.mesh, slot_gradients, (WHOLE, ROWS, ROWS, ROWS), ROWS)
    return spread(frozen, prompts, rows, z_loss)


def _tokens(rows: Rows, slots: int) -> Float[Array, "U"]:
    """Target tokens of every slot."""
    own = jnp.sum(rows.targets > 0, axis=1).astype(jnp.float32)
    return _add(jnp.zeros((slots,), jnp.float32), rows.slot, own)
