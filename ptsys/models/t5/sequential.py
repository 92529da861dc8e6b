"""Generating one hypothesis a row, token by token: greedy decoding and sampling."""

from __future__ import annotations

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ptsys.models.t5.decoding import (
    END,
    PADDING,
    Cache,
    Choices,
    Context,
    Generated,
    advance,
    first_cache,
)
from ptsys.models.t5.network import T5
from ptsys.models.t5.sampling import likeliest, sample
from ptsys.sharding.mesh import agreed_any


class _Progress(NamedTuple):
    """The loop's state; `last` is the token fed next."""

    position: Int[Array, ""]
    tokens: Int[Array, "B T"]
    score: Float[Array, " B"]
    last: Int[Array, " B"]
    done: Bool[Array, " B"]
    cache: Cache


def decode_sequentially(
    model: T5,
    context: Context,
    real: Bool[Array, " B"],
    choices: Choices,
    method: Literal["greedy", "sample"],
    max_tokens: int,
) -> Generated:
    """Step until every row has ended or reached its limit; rows that are not `real` get nothing.

    A row whose numbers are broken ends at once, with the score NaN.
    """

    def step(now: _Progress) -> _Progress:
        found = advance(model, context, now.cache, now.last, now.position)
        if method == "sample":
            token = sample(found.log_probability, choices, now.position)
        else:
            token = likeliest(found.log_probability)
        token = jnp.where(found.broken, END, token)
        gained = jnp.take_along_axis(found.log_probability, token[:, None], axis=1)[:, 0]
        gained = jnp.where(found.broken, jnp.nan, gained)
        token = jnp.where(now.done, PADDING, token)
        return _Progress(
            position=now.position + 1,
            tokens=now.tokens.at[:, now.position].set(token),
            score=now.score + jnp.where(now.done, 0, gained),
            last=token,
            done=now.done | (token == END) | (now.position + 1 >= choices.limit),
            cache=found.cache,
        )

    def unfinished(now: _Progress) -> Bool[Array, ""]:
        return (now.position < max_tokens) & agreed_any(~now.done)

    rows = real.shape[0]
    start = _Progress(
        position=jnp.zeros((), jnp.int32),
        tokens=jnp.full((rows, max_tokens), PADDING, jnp.int32),
        score=jnp.zeros((rows,), jnp.float32),
        last=jnp.full((rows,), PADDING, jnp.int32),
        done=~real | (choices.limit <= 0),
        cache=first_cache(model, context, rows, max_tokens),
    )
    end = jax.lax.while_loop(unfinished, step, start)
    return Generated(end.tokens, end.score, end.position)
