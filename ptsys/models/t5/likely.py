"""What a prompt would answer, as far as it is likely: of every position of a target the likeliest
tokens with their log-probabilities; and how far other answers are from it.

Shape letters: B rows, T target positions, K tokens of each.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ptsys.data.features import LIKELY
from ptsys.models.t5.network import T5

_LEAST = 1e-6  # of the probability of all other tokens


class Likely(NamedTuple):
    """The likeliest tokens of every position, the first the most, and their log-probabilities."""

    tokens: Int[Array, "B T K"]
    log_probability: Float[Array, "B T K"]


def likely(model: T5, x: Float[Array, "B T D"]) -> Likely:
    """Of decoded positions."""
    found, tokens = jax.lax.top_k(jax.nn.log_softmax(model.logits(x)), LIKELY)
    return Likely(tokens.astype(jnp.int32), found)


def divergence(
    model: T5,
    x: Float[Array, "B T D"],
    log_z: Float[Array, "B T"],
    real: Bool[Array, "B T"],
    wanted: Likely,
) -> Float[Array, "B T"]:
    """The Kullback-Leibler divergence (nats) of what decoded positions say, whose softmax has this
    denominator, from what is wanted; all other tokens count as one. Of positions that are not
    `real` nothing matters."""
    head = model.head(wanted.tokens)
    logits = jnp.einsum("btd,btkd->btk", x.astype(jnp.float32), head)
    own = jnp.where(real[..., None], logits - log_z[..., None], 0)  # or its slope overflows
    their = wanted.log_probability
    known = jnp.sum(jnp.exp(their) * (their - own), axis=-1)
    rest, other = (jnp.maximum(1 - jnp.sum(jnp.exp(y), axis=-1), _LEAST) for y in (their, own))
    return known + rest * (jnp.log(rest) - jnp.log(other))
