"""Emission: a frozen model's encoder reads examples, each alone behind a meta-prompt, and what it
makes of them is put together to a prompt.

An emitted prompt has two parts. *Side by side* stand, for every example, a summary of it and
its label's own encodings, so that the model can look a label up where an input resembles the
example's. The *tail* is the shared prompt's end plus the mean, over all examples, of some outputs:
what kind of task it is.

Shape letters: N examples of all tasks, E tasks, K examples of a task, L positions, M meta-prompt
tokens, Q mean outputs, S slots of an example side by side, P prompt positions, D d_model.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ptsys.kinds.batch import Readings
from ptsys.models.t5.kind import token_readings
from ptsys.models.t5.network import T5
from ptsys.prompts.meta_kind import normed
from ptsys.prompts.side_by_side import last_real

MEANS = 8
"""Outputs that are averaged over examples: the length of the tail."""


class MetaPrompt(NamedTuple):
    """What makes an encoder emit: its tokens, of which the first `MEANS` give the tail and the last
    gives the summary of an example, and the maps from normed outputs to prompt positions."""

    tokens: Float[Array, "M D"]
    tail: Float[Array, "Q D D"]
    summary: Float[Array, "D D"]
    label: Float[Array, "D D"]
    embedding_scale: Float[Array, ""]


class Encodings(NamedTuple):
    """What the encoder made of examples, each read alone."""

    tail: Float[Array, "N Q D"]
    slots: Float[Array, "N S D"]
    real: Bool[Array, "N S"]


def initial_meta_prompt(key: jax.Array, width: int) -> MetaPrompt:
    """Random tokens; maps near a third of the identity."""
    maps = jnp.tile(0.3 * jnp.eye(width)[None], (MEANS + 2, 1, 1))
    return MetaPrompt(
        0.5 * jax.random.normal(key, (MEANS + 1, width)),
        maps[:MEANS],
        maps[MEANS],
        maps[MEANS + 1],
        jnp.asarray(0.7),
    )


def read(model: T5, meta: MetaPrompt, examples: Int[Array, "N L"], label_tokens: int) -> Encodings:
    """Encode examples, each alone. Their first `label_tokens` positions are the label's, padded
    with zeros; see `ptsys.pretraining.episodes`."""
    count, tokens = len(examples), len(meta.tokens)
    prompt = jnp.broadcast_to(meta.tokens[None], (count, *meta.tokens.shape))
    memory = normed(model.encode(examples, prompt).memory.astype(jnp.float32))
    tail = jnp.einsum("nqd,qdf->nqf", memory[:, :MEANS], meta.tail)
    label = examples[:, :label_tokens]
    encoded = memory[:, tokens : tokens + label_tokens] @ meta.label
    embedded = meta.embedding_scale * model.token_embedder(label).astype(jnp.float32)
    summary = memory[:, MEANS : MEANS + 1] @ meta.summary
    has_text = jnp.any(examples > 0, axis=1)
    real = jnp.concatenate([has_text[:, None], label > 0], axis=1)
    return Encodings(tail, jnp.concatenate([summary, embedded + encoded], axis=1), real)


def assemble(
    examples: Encodings,
    tasks: int,
    start: Float[Array, "Q D"],
    width: int,
    *,
    kind: Bool[Array, " E"] | None = None,
    pairs: Bool[Array, " E"] | None = None,
) -> Readings:
    """Prompts of `tasks` tasks with as many examples each, one after another; examples without
    text are padding and come last.

    `start` is the end of the shared prompt. Side by side are at most `width` positions, the last
    ones. `kind` and `pairs` leave the mean, or what stands side by side, out of some tasks'
    prompts; all have both by default.
    """
    dim = start.shape[-1]
    slots = examples.slots.reshape(tasks, -1, dim)
    real = examples.real.reshape(tasks, -1)
    if pairs is not None:
        real &= pairs[:, None]
    side, beside = last_real(slots, real, min(width, real.shape[1]))
    seen = examples.real[:, 0].reshape(tasks, -1).astype(jnp.float32)
    weight = seen / jnp.maximum(jnp.sum(seen, axis=1, keepdims=True), 1)
    mean = jnp.einsum("ek,ekqd->eqd", weight, examples.tail.reshape(tasks, -1, *start.shape))
    if kind is not None:
        mean = jnp.where(kind[:, None, None], mean, 0.0)
    values = jnp.concatenate([side, start[None] + mean], axis=1)
    return token_readings(values, beside + len(start))
