"""The gradient pass: the gradient of every user's prompt, and of nothing else."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ptsys.passes.batch import Prompts, Rows
from ptsys.passes.frozen import Frozen
from ptsys.passes.loss import RowLosses, row_losses, slot_means


class Gradients(NamedTuple):
    """What the gradient pass returns; losses in nats a token."""

    loss: Float[Array, "U"]
    tokens: Float[Array, "U"]
    values: Float[Array, "U P D"]
    row_loss: Float[Array, "B"]
    predicted: Int[Array, "B T"]


def slot_gradients(
    frozen: Frozen, prompts: Prompts, rows: Rows, z_loss: Float[Array, "U"] | None = None
) -> Gradients:
    """Gradient of each slot's mean token loss. Traceable; `gradients` is its jitted form.

    The sum of the slots' losses is differentiated: every slot's loss depends on that slot's
    prompt alone, so each receives exactly its own gradient.
    """
    slots = prompts.length.shape[0]

    def total(values: Float[Array, "U P D"]) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        losses: RowLosses = row_losses(
            frozen.model(), Prompts(values, prompts.length), rows, z_loss
        )
        mean, tokens = slot_means(losses, rows.slot, slots)
        row_loss = losses.loss / jnp.maximum(losses.tokens, 1)
        return jnp.sum(mean), (mean, tokens, row_loss, losses.predicted)

    values, (loss, tokens, row_loss, predicted) = jax.grad(total, has_aux=True)(prompts.values)
    return Gradients(loss, tokens, values, row_loss, predicted)


gradients = jax.jit(slot_gradients)
