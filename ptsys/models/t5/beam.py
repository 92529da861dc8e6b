"""Beam search, each row in its own beams.

Shape letters: see `ptsys.models.t5.decoding`; N beams of a row. Arrays of the model have B * N
rows, those of one row together.
"""

from __future__ import annotations

from typing import NamedTuple

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
    Step,
    advance,
    first_cache,
)
from ptsys.models.t5.network import T5
from ptsys.sharding.mesh import agreed_any


class _Hypotheses(NamedTuple):
    """Unfinished hypotheses; those not in use have the score -inf."""

    tokens: Int[Array, "B N T"]
    score: Float[Array, "B N"]


class _Best(NamedTuple):
    """The best finished hypothesis of every row, apart from the beams. Finished ones never grow
    again and only one is returned, so no more than one has to be kept."""

    tokens: Int[Array, "B T"]
    score: Float[Array, " B"]
    penalized: Float[Array, " B"]


class _Progress(NamedTuple):
    """The loop's state."""

    position: Int[Array, ""]
    live: _Hypotheses
    best: _Best
    done: Bool[Array, " B"]
    cache: Cache


def penalty(length: Int[Array, "*#N"], alpha: Float[Array, "*#N"]) -> Float[Array, "*#N"]:
    """What a hypothesis's log-probability is divided by (Wu et al. 2016, equation 14); `length`
    counts its tokens, the end included."""
    return ((5.0 + jnp.asarray(length, jnp.float32)) / 6.0) ** alpha


def decode_with_beams(
    model: T5,
    context: Context,
    real: Bool[Array, " B"],
    choices: Choices,
    beams: int,
    max_tokens: int,
) -> Generated:
    """The hypothesis with the best penalized log-probability among those that end, or are cut by
    the row's limit. A row is done once no unfinished hypothesis can still beat its best.

    `context` holds every row `beams` times. A row whose numbers are broken ends at once, with the
    score NaN.
    """

    def step(now: _Progress) -> _Progress:
        last = now.live.tokens[:, :, jnp.maximum(now.position - 1, 0)]
        last = jnp.where(now.position > 0, last, PADDING).reshape(-1)
        found = advance(model, context, now.cache, last, now.position)
        return _select(now, found, choices, beams)

    def unfinished(now: _Progress) -> Bool[Array, ""]:
        return (now.position < max_tokens) & agreed_any(~now.done)

    rows = real.shape[0]
    first = jnp.where(jnp.arange(beams) == 0, 0.0, -jnp.inf).astype(jnp.float32)
    start = _Progress(
        position=jnp.zeros((), jnp.int32),
        live=_Hypotheses(
            jnp.full((rows, beams, max_tokens), PADDING, jnp.int32),
            jnp.broadcast_to(first, (rows, beams)),
        ),
        best=_Best(
            jnp.full((rows, max_tokens), PADDING, jnp.int32),
            jnp.zeros((rows,), jnp.float32),
            jnp.full((rows,), -jnp.inf, jnp.float32),
        ),
        done=~real | (choices.limit <= 0),
        cache=first_cache(model, context, rows * beams, max_tokens),
    )
    end = jax.lax.while_loop(unfinished, step, start)
    return Generated(end.best.tokens, end.best.score, end.position)


def _select(now: _Progress, found: Step, choices: Choices, beams: int) -> _Progress:
    """Keep the likeliest continuations of every row. Twice as many as there are beams are looked
    at, since at most one for each beam ends there."""
    rows = now.done.shape[0]
    vocabulary = found.log_probability.shape[-1]
    spread = found.log_probability.reshape(rows, beams, vocabulary)
    grown = now.live.score[:, :, None] + spread
    grown = jnp.where(jnp.isnan(grown), -jnp.inf, grown)
    count = min(2 * beams, beams * vocabulary)
    score, index = jax.lax.top_k(grown.reshape(rows, -1), count)
    parent, token = index // vocabulary, (index % vocabulary).astype(jnp.int32)
    tokens = jnp.take_along_axis(now.live.tokens, parent[:, :, None], axis=1)
    tokens = tokens.at[:, :, now.position].set(token)

    last = (now.position + 1 >= choices.limit)[:, None]
    ended = (token == END) | last
    broken = jnp.any(found.broken.reshape(rows, beams), axis=1)
    candidates = _Hypotheses(tokens, jnp.where(ended, score, -jnp.inf))
    best = _better(now, candidates, choices.length_penalty)
    best = _mark_broken(best, broken & ~now.done)

    score, kept = jax.lax.top_k(jnp.where(ended, -jnp.inf, score), beams)
    tokens = jnp.take_along_axis(tokens, kept[:, :, None], axis=1)
    parent = jnp.take_along_axis(parent, kept, axis=1)
    reachable = jnp.max(score, axis=1) / penalty(choices.limit, choices.length_penalty)
    return _Progress(
        position=now.position + 1,
        live=_Hypotheses(tokens, score),
        best=best,
        done=now.done | broken | (best.penalized >= reachable),
        cache=_reorder(found.cache, parent),
    )


def _better(now: _Progress, candidates: _Hypotheses, alpha: Float[Array, " B"]) -> _Best:
    """The best finished hypotheses after this step's `candidates`; done rows keep theirs."""
    penalized = candidates.score / penalty(now.position + 1, alpha)[:, None]
    top = jnp.argmax(penalized, axis=1)[:, None]

    def chosen(x: jax.Array) -> jax.Array:
        return jnp.take_along_axis(x, top, axis=1)[:, 0]

    tokens = jnp.take_along_axis(candidates.tokens, top[:, :, None], axis=1)[:, 0]
    wins = (chosen(penalized) > now.best.penalized) & ~now.done
    return _Best(
        jnp.where(wins[:, None], tokens, now.best.tokens),
        jnp.where(wins, chosen(candidates.score), now.best.score),
        jnp.where(wins, chosen(penalized), now.best.penalized),
    )


def _mark_broken(best: _Best, broken: Bool[Array, " B"]) -> _Best:
    """End broken rows with one end token and the score NaN."""
    only_end = jnp.where(jnp.arange(best.tokens.shape[1]) == 0, END, PADDING)
    return best._replace(
        tokens=jnp.where(broken[:, None], only_end[None, :], best.tokens),
        score=jnp.where(broken, jnp.nan, best.score),
    )


def _reorder(cache: Cache, parent: Int[Array, "R N"]) -> Cache:
    """Give every kept hypothesis its parent's cache; a gather within each row."""
    rows, beams = parent.shape

    def move(x: jax.Array) -> jax.Array:
        own = x.reshape(rows, beams, *x.shape[1:])
        moved: jax.Array = jax.vmap(lambda a, i: a[i])(own, parent)
        return moved.reshape(x.shape)

    return [(move(keys), move(values)) for keys, values in cache]
