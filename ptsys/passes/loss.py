"""The loss of prompts through a frozen model: per token and per row."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ptsys.kinds.batch import Prompts, Rows, gather_prompts, take_slots
from ptsys.models.t5.network import T5
from ptsys.models.t5.token_scores import token_scores


class RowLosses(NamedTuple):
    """Summed token loss (nats), token count and teacher-forced prediction of every row."""

    loss: Float[Array, " B"]
    tokens: Float[Array, " B"]
    predicted: Int[Array, "B T"]


def row_losses(
    model: T5,
    prompts: Prompts,
    rows: Rows,
    z_loss: Float[Array, " U"] | None = None,
    capacity: int | None = None,
) -> RowLosses:
    """Cross-entropy of every row, plus `z_loss * log(Z)^2` a token (Shazeer 2018, mesh T5).
    `capacity` packs the encoder's positions; see `T5.encode`."""
    values, mask = gather_prompts(prompts, rows.slot)
    x = model.decoded(model.encode(rows.inputs, values, mask, capacity), rows.targets)
    found = token_scores(model, x, rows.targets)
    losses = found.log_z - found.chosen
    if z_loss is not None:
        weight = take_slots(z_loss, rows.slot, 0)
        losses = losses + weight[:, None] * jnp.square(found.log_z)
    real = rows.targets > 0
    return RowLosses(
        loss=jnp.sum(jnp.where(real, losses, 0), axis=1),
        tokens=jnp.sum(real, axis=1).astype(jnp.float32),
        predicted=jnp.where(real, found.best, 0),
    )
