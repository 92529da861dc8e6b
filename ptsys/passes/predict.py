"""The prediction passes: generate an answer for every row, or score given targets."""

from __future__ import annotations

import functools
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ptsys.passes.batch import Prompts, Rows
from ptsys.passes.beam import decode_with_beams
from ptsys.passes.decoding import Choices, Generated, Method, encode, real_rows
from ptsys.passes.frozen import Frozen
from ptsys.passes.loss import row_losses
from ptsys.passes.sequential import decode_sequentially


class Scores(NamedTuple):
    """Summed log-probability (nats) of every row's target, and its count of tokens."""

    log_probability: Float[Array, "B"]
    tokens: Float[Array, "B"]


@functools.partial(jax.jit, static_argnames=("method", "max_tokens", "beams"))
def generate(
    frozen: Frozen,
    prompts: Prompts,
    inputs: Int[Array, "B L"],
    slot: Int[Array, "B"],
    choices: Choices,
    *,
    method: Method = "greedy",
    max_tokens: int,
    beams: int = 1,
) -> Generated:
    """Answer rows of several users in one pass that ends as soon as every row has.

    Padding is never generated, so a token 0 always means the row is over. One beam is greedy
    decoding. Leave `beams` at 1 for the other methods: it would compile anew for nothing.
    """
    model = frozen.model()
    choices = choices._replace(limit=jnp.minimum(choices.limit, max_tokens))
    real = real_rows(slot, prompts.length.shape[0])
    if method == "beam" and beams > 1:
        context = encode(model, prompts, inputs, slot, copies=beams)
        return decode_with_beams(model, context, real, choices, beams, max_tokens)
    context = encode(model, prompts, inputs, slot)
    way: Literal["greedy", "sample"] = "sample" if method == "sample" else "greedy"
    return decode_sequentially(model, context, real, choices, way, max_tokens)


@jax.jit
def score(frozen: Frozen, prompts: Prompts, rows: Rows) -> Scores:
    """Log-probability of the given targets, for the scoring of labels; padding rows get 0."""
    losses = row_losses(frozen.model(), prompts, rows)
    real = real_rows(rows.slot, prompts.length.shape[0])
    return Scores(jnp.where(real, -losses.loss, 0), jnp.where(real, losses.tokens, 0))
