"""The projection on the vocabulary of teacher-forced positions, and what a loss needs of it.

With a block size the logits of that many positions are all that is ever held, and positions of
padding are not projected at all: they come last in the order that blocks are taken in, and blocks
without a real position are skipped. The backward pass projects again. The head is frozen there:
it gets no gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ptsys.models.t5 import T5
from ptsys.sharding.mesh import agreed


class TokenScores(NamedTuple):
    """Of every target position: the log of the softmax's denominator, the target's own logit
    (both in the logits' type), and the likeliest token. Zeros at padding where positions came in
    blocks."""

    log_z: Float[Array, "*lead"]
    chosen: Float[Array, "*lead"]
    best: Int[Array, "*lead"]


def token_scores(model: T5, x: Float[Array, "B T D"], targets: Int[Array, "B T"]) -> TokenScores:
    """Project decoded positions, in blocks if the model's execution says so."""
    block = model.execution.vocabulary_block
    if block is None:
        return _scores(model.logits(x), targets)
    return _in_blocks(model.logits, x, targets, block)


def _scores(logits: Float[Array, "*lead V"], targets: Int[Array, "*lead"]) -> TokenScores:
    return TokenScores(
        jax.nn.logsumexp(logits, axis=-1),
        jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0],
        jnp.argmax(logits, axis=-1).astype(jnp.int32),
    )


def _in_blocks(
    project: Callable[[jax.Array], jax.Array],
    x: Float[Array, "B T D"],
    targets: Int[Array, "B T"],
    block: int,
) -> TokenScores:
    count = targets.size
    size = min(block, count)
    flat = jnp.asarray(targets).reshape(-1)
    order = jnp.argsort(flat == 0, stable=True)  # real positions first
    order = jnp.pad(order, (0, -count % size), constant_values=count)  # out of range: dropped
    blocks = agreed((jnp.sum(flat > 0) + size - 1) // size)

    def part(i: Int[Array, ""], *arrays: jax.Array) -> tuple[jax.Array, ...]:
        index = jax.lax.dynamic_slice_in_dim(order, i * size, size)
        return index, *(y.at[index].get(mode="fill", fill_value=0) for y in arrays)

    def forward(x: Float[Array, "N D"]) -> TokenScores:
        def step(i: Int[Array, ""], done: TokenScores) -> TokenScores:
            index, own, wanted = part(i, x, flat)
            found = _scores(project(own), wanted)
            return TokenScores(
                *(
                    all_.at[index].set(new, mode="drop")
                    for all_, new in zip(done, found, strict=True)
                )
            )

        zeros = jnp.zeros((count,), jax.eval_shape(project, x).dtype)
        empty = TokenScores(zeros, zeros, jnp.zeros((count,), jnp.int32))
        scores: TokenScores = jax.lax.fori_loop(0, blocks, step, empty)
        return scores

    def backward(saved: tuple[jax.Array, jax.Array], cotangent: TokenScores) -> tuple[jax.Array]:
        x, log_z = saved

        def step(i: Int[Array, ""], done: Float[Array, "N D"]) -> Float[Array, "N D"]:
            index, own, wanted, z, of_z, of_chosen = part(
                i, x, flat, log_z, cotangent.log_z, cotangent.chosen
            )
            logits, pull = jax.vjp(project, own)
            change = jnp.exp(logits - z[:, None]) * of_z[:, None]
            change = change.at[jnp.arange(size), wanted].add(of_chosen)
            return done.at[index].set(pull(change)[0], mode="drop")

        return (jax.lax.fori_loop(0, blocks, step, jnp.zeros_like(x)),)

    @jax.custom_vjp
    def scored(x: Float[Array, "N D"]) -> TokenScores:
        return forward(x)

    def scored_forward(
        x: Float[Array, "N D"],
    ) -> tuple[TokenScores, tuple[jax.Array, jax.Array]]:
        found = forward(x)
        return found, (x, found.log_z)

    scored.defvjp(scored_forward, backward)
    found = scored(x.reshape(count, -1))
    return TokenScores(*(y.reshape(targets.shape) for y in found))
