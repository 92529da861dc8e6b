"""The prediction passes: generate an answer for every row, or score given targets."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ptsys.kinds.batch import Prompts, Rows, real_rows
from ptsys.models.t5.beam import decode_with_beams
from ptsys.models.t5.decoding import Choices, Generated, Method, encode, nothing
from ptsys.models.t5.sequential import decode_sequentially
from ptsys.passes.frozen import Frozen
from ptsys.passes.loss import row_losses
from ptsys.sharding.mesh import ROWS, WHOLE, agreed_any, each_shard


class Scores(NamedTuple):
    """Summed log-probability (nats) of every row's target, and its count of tokens."""

    log_probability: Float[Array, " B"]
    tokens: Float[Array, " B"]


@functools.partial(jax.jit, static_argnames=("method", "max_tokens", "beams"))
def generate(
    frozen: Frozen,
    prompts: Prompts,
    inputs: Int[Array, "B L"],
    slot: Int[Array, " B"],
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
    if method != "beam" or beams == 1:
        method, beams = ("sample" if method == "sample" else "greedy"), 1

    def shard(
        frozen: Frozen, prompts: Prompts, inputs: jax.Array, slot: jax.Array, choices: Choices
    ) -> Generated:
        real = real_rows(slot, prompts.length.shape[0])

        def some() -> Generated:
            return _answer(frozen, prompts, inputs, slot, real, choices, method, max_tokens, beams)

        found: Generated = jax.lax.cond(
            agreed_any(real), some, lambda: nothing(slot.shape[0], max_tokens)
        )
        return found._replace(steps=found.steps[None])

    spread = each_shard(frozen.mesh, shard, (WHOLE, WHOLE, ROWS, ROWS, ROWS), ROWS)
    choices = choices._replace(limit=jnp.minimum(choices.limit, max_tokens))
    return spread(frozen, prompts, inputs, slot, choices)


def _answer(
    frozen: Frozen,
    prompts: Prompts,
    inputs: Int[Array, "B L"],
    slot: Int[Array, " B"],
    real: Bool[Array, " B"],
    choices: Choices,
    method: Method,
    max_tokens: int,
    beams: int,
) -> Generated:
    model = frozen.model()
    context = encode(model, prompts, inputs, slot, max_tokens, copies=beams)
    if method == "beam":
        return decode_with_beams(model, context, real, choices, beams, max_tokens)
    return decode_sequentially(model, context, real, choices, method, max_tokens)


@jax.jit
def score(frozen: Frozen, prompts: Prompts, rows: Rows) -> Scores:
    """Log-probability of the given targets, for the scoring of labels; padding rows get 0."""

    def shard(frozen: Frozen, prompts: Prompts, rows: Rows) -> Scores:
        losses = row_losses(frozen.model(), prompts, rows)
        real = real_rows(rows.slot, prompts.length.shape[0])
        return Scores(jnp.where(real, -losses.loss, 0), jnp.where(real, losses.tokens, 0))

    return each_shard(frozen.mesh, shard, (WHOLE, WHOLE, ROWS), ROWS)(frozen, prompts, rows)
