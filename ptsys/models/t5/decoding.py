"""What every way of generating shares: the row's wishes, the cached step, the result.

Shape letters: see `ptsys.kinds.batch`; T generated positions, V vocabulary, S keys (prompt and
input), H heads, K head_dim.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt32

from ptsys.models.t5.decoder import Cross, Encoded, Past, repeat_keys_values, repeat_rows
from ptsys.models.t5.network import T5
from ptsys.models.t5.prefix import Deep, KeysValues, SoftTokens, joined, joined_mask

Method = Literal["greedy", "sample", "beam"]

PADDING = 0
END = 1


class Choices(NamedTuple):
    """How each row wants its tokens.

    `limit` is the most tokens a row may get, the end token included; a row that reaches it is cut
    there. `temperature`, `top_p` and `seed` belong to sampling, `length_penalty` to beam search.
    """

    limit: Int[Array, " B"]
    temperature: Float[Array, " B"]
    top_p: Float[Array, " B"]
    seed: UInt32[Array, " B"]
    length_penalty: Float[Array, " B"]


class Generated(NamedTuple):
    """Tokens that end with 1, then 0 (a row cut by its limit has no 1), and their summed
    log-probability in nats, whatever the method: untempered, whole vocabulary, no length penalty.
    NaN is the score of a row whose prompt is broken. `steps` counts the decoder steps made, one
    number for each data shard."""

    tokens: Int[Array, "B T"]
    score: Float[Array, " B"]
    steps: Int[Array, "*N"]


class Context(NamedTuple):
    """What decoding reads and never changes. `mask` is that of what `cross` reads."""

    cross: list[Cross]
    mask: Bool[Array, "B S"]
    past: Past | None = None


Cache = list[KeysValues]


class Step(NamedTuple):
    """One decoder step: log-probabilities of the next token (padding cannot be chosen: -inf),
    whether the row's numbers are broken, and the extended cache."""

    log_probability: Float[Array, "B V"]
    broken: Bool[Array, " B"]
    cache: Cache


def choices(rows: int, max_tokens: int) -> Choices:
    """Neutral choices, as numpy arrays."""

    def column(value: float, kind: type) -> Any:
        return np.full(rows, value, kind)

    return Choices(
        limit=column(max_tokens, np.int32),
        temperature=column(1, np.float32),
        top_p=column(1, np.float32),
        seed=column(0, np.uint32),
        length_penalty=column(0.6, np.float32),
    )


def nothing(rows: int, max_tokens: int) -> Generated:
    """What no row at all gets."""
    return Generated(
        jnp.full((rows, max_tokens), PADDING, jnp.int32),
        jnp.zeros((rows,), jnp.float32),
        jnp.zeros((), jnp.int32),
    )


def context_of(
    model: T5,
    encoded: Encoded,
    max_tokens: int,
    copies: int = 1,
    deep: Deep | None = None,
    tokens: SoftTokens | None = None,
) -> Context:
    """What decoding reads of encoded rows, for answers of so many tokens, and of what their prompts
    put into the decoder; `copies` repeats it for the beams of a row (row-major)."""
    deep = deep or Deep()
    cross = model.decoder.cross(encoded, max_tokens * copies, deep.cross)
    past = model.decoder.past(encoded, cross, deep, tokens, model.execution)
    mask = joined_mask(deep.cross, encoded.mask)
    if copies > 1:
        cross = [repeat_rows(x, copies) for x in cross]
        if past is not None:
            cache = [repeat_keys_values(x, copies) for x in past.cache]
            past = past._replace(cache=cache, mask=jnp.repeat(past.mask, copies, axis=0))
    return Context(cross, jnp.repeat(mask, copies, axis=0), past)


def first_cache(model: T5, context: Context, rows: int, max_tokens: int) -> Cache:
    """Keys and values of every decoder layer, [rows, max_tokens, H, K] each, zeroed; where the
    prompts put something before the first step, that comes first."""
    config = model.config
    shape = (rows, max_tokens, config.num_heads, config.head_dim)
    zeros = jnp.zeros(shape, model.token_embedder.embedding[...].dtype)
    if context.past is None:
        return [(zeros, zeros) for _ in range(config.decoder_layers)]
    return [joined(before, (zeros, zeros)) for before in context.past.cache]


def advance(
    model: T5,
    context: Context,
    cache: Cache,
    token: Int[Array, " B"],
    position: Int[Array, ""],
) -> Step:
    """Feed `token` at `position` and score what may follow."""
    x = model.token_embedder(token[:, None])
    x, cache = model.decoder.step(x, position, cache, context.cross, context.mask, context.past)
    logits = model.logits(x)[:, 0]
    log_z = jax.nn.logsumexp(logits, axis=-1)
    log_probability = (logits - log_z[:, None]).at[:, PADDING].set(-jnp.inf)
    return Step(log_probability, ~jnp.isfinite(log_z), cache)
