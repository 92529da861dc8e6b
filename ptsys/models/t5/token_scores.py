"""The projection on the vocabulary of teacher-forced positions, and what a loss needs of it.

With a block size the logits of that many positions are all that is ever held, and positions of
padding are not projected at all: they come last in the order that blocks are taken in, and blocks
without a real position are skipped. Where a gradient is wanted, what it takes of the vocabulary is
computed beside the logits, so that the backward pass projects nothing again. The head is frozen
there: it gets no gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Shaped

from ptsys.models.t5.network import T5
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
    return _in_blocks(model, x, targets, block)


def _scores(logits: Float[Array, "*lead V"], targets: Int[Array, "*lead"]) -> TokenScores:
    return TokenScores(
        jax.nn.logsumexp(logits, axis=-1),
        jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0],
        jnp.argmax(logits, axis=-1).astype(jnp.int32),
    )


class _Slopes(NamedTuple):
    """The gradients of a position's `log_z` and `chosen`."""

    log_z: Float[Array, "N D"]
    chosen: Float[Array, "N D"]


def _in_blocks(
    model: T5, x: Float[Array, "B T D"], targets: Int[Array, "B T"], block: int
) -> TokenScores:
    flat = jnp.asarray(targets).reshape(-1)
    blocks = _Blocks.of(flat, block)

    def scores(own: jax.Array, wanted: jax.Array) -> TokenScores:
        return _scores(model.logits(own), wanted)

    def with_slopes(own: jax.Array, wanted: jax.Array) -> tuple[TokenScores, _Slopes]:
        logits, pull = jax.vjp(model.logits, own)
        found = _scores(logits, wanted)
        [of_log_z] = pull(jnp.exp(logits - found.log_z[:, None]))
        return found, _Slopes(of_log_z, model.head(wanted).astype(own.dtype))

    @jax.custom_vjp
    def scored(x: Float[Array, "N D"]) -> TokenScores:
        found: TokenScores = blocks.each(scores, x, flat)
        return found

    def backward(slopes: _Slopes, cotangent: TokenScores) -> tuple[jax.Array]:
        of_log_z = slopes.log_z * cotangent.log_z[:, None].astype(slopes.log_z.dtype)
        return (of_log_z + slopes.chosen * cotangent.chosen[:, None].astype(of_log_z.dtype),)

    scored.defvjp(lambda x: blocks.each(with_slopes, x, flat), backward)
    found = scored(x.reshape(flat.size, -1))
    return TokenScores(*(y.reshape(targets.shape) for y in found))


class _Blocks(NamedTuple):
    """An order of positions with real ones first, to be taken `size` at a time, `times` times."""

    order: Int[Array, " M"]
    times: Int[Array, ""]
    size: int

    @classmethod
    def of(cls, targets: Int[Array, " N"], block: int) -> _Blocks:
        size = min(block, targets.size)
        order = jnp.argsort(targets == 0, stable=True)
        padded = jnp.pad(order, (0, -targets.size % size), constant_values=targets.size)
        return cls(padded, agreed((jnp.sum(targets > 0) + size - 1) // size), size)

    def each(self, function: Callable[..., Any], *arrays: Shaped[Array, "N ..."]) -> Any:
        """What `function` gives of each block's positions, at their places; zeros elsewhere."""

        def step(i: Int[Array, ""], done: Any) -> Any:
            index = jax.lax.dynamic_slice_in_dim(self.order, i * self.size, self.size)
            own = [x.at[index].get(mode="fill", fill_value=0) for x in arrays]
            return jax.tree.map(
                lambda all_, new: all_.at[index].set(new, mode="drop"), done, function(*own)
            )

        some = [jax.ShapeDtypeStruct((self.size, *x.shape[1:]), x.dtype) for x in arrays]
        empty = jax.tree.map(
            lambda x: jnp.zeros((arrays[0].shape[0], *x.shape[1:]), x.dtype),
            jax.eval_shape(function, *some),
        )
        return jax.lax.fori_loop(0, self.times, step, empty)
