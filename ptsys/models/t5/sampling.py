"""The choice of one next token for every row: the likeliest, or a draw."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ptsys.models.t5.decoding import Choices
from ptsys.sharding.mesh import agreed_any

COLDEST = 1e-6  # temperatures below act as this one, so that the division stays finite


def tempered(
    log_probability: Float[Array, "B V"], temperature: Float[Array, " B"]
) -> Float[Array, "B V"]:
    """Log-probabilities at a temperature, up to a constant: the likeliest token has 0."""
    top = jnp.max(log_probability, axis=-1, keepdims=True)
    return (log_probability - top) / jnp.maximum(temperature, COLDEST)[:, None]


def nucleus(logits: Float[Array, "B V"], top_p: Float[Array, " B"]) -> Bool[Array, "B V"]:
    """The smallest set of likeliest tokens whose probabilities reach `top_p` (Holtzman et al.
    2020, 3.1); tokens that tie with its last one belong to it. All tokens where `top_p` is 1."""
    descending = -jnp.sort(-logits, axis=-1)
    probability = jax.nn.softmax(descending, axis=-1)
    before = jnp.cumsum(probability, axis=-1) - probability
    inside = before < top_p[:, None]
    inside = inside.at[:, 0].set(True)
    least = jnp.min(jnp.where(inside, descending, jnp.inf), axis=-1, keepdims=True)
    return (logits >= least) | (top_p >= 1)[:, None]


def gumbel(choices: Choices, position: Int[Array, ""], vocabulary: int) -> Float[Array, "B V"]:
    """Gumbel noise from each row's own seed and the position, so that a row's draw depends
    neither on its company nor on its place in the batch."""

    def noise(seed: jax.Array) -> jax.Array:
        return jax.random.gumbel(
            jax.random.fold_in(jax.random.key(seed), position), (vocabulary,), jnp.float32
        )

    return jax.vmap(noise)(choices.seed)


def sample(
    log_probability: Float[Array, "B V"], choices: Choices, position: Int[Array, ""]
) -> Int[Array, " B"]:
    """Draw from softmax(log_probability / temperature), restricted to the nucleus, by the
    Gumbel-max trick. The vocabulary is sorted only if some row asks for a nucleus."""
    logits = tempered(log_probability, choices.temperature)
    kept = jax.lax.cond(
        agreed_any(choices.top_p < 1),
        nucleus,
        lambda logits, top_p: jnp.ones(logits.shape, bool),
        logits,
        jnp.asarray(choices.top_p),
    )
    noisy = logits + gumbel(choices, position, logits.shape[1])
    return jnp.argmax(jnp.where(kept, noisy, -jnp.inf), axis=-1).astype(jnp.int32)


def likeliest(log_probability: Float[Array, "B V"]) -> Int[Array, " B"]:
    """The first token of the highest probability."""
    return jnp.argmax(log_probability, axis=-1).astype(jnp.int32)
