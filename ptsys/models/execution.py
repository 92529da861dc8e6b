"""How a model's computations are laid out: what is held, what is computed again, what comes in
blocks. None of it changes a result by more than rounding."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, Literal

import jax

Remat = Literal["none", "dots", "layer"]
Attention = Literal["blocks", "kernel"]
PROJECTION = "projection"  # the name of what "dots" keeps
_TILE = 16  # blocks of queries are as long as one another and a multiple of so many


@dataclasses.dataclass(frozen=True)
class Execution:
    """Choices between memory and time.

    `remat` says what the backward pass finds of an encoder or decoder layer: "none", everything the
    forward pass computed; "dots", the outputs of projections, so that only cheap work is repeated;
    "layer", the layer's input alone. With `attention` "kernel" the encoder attends in a TPU kernel
    where it can (`ptsys.models.t5.attention_kernel`). Else more than `attention_block` queries
    attend that many at a time, so that no [queries, keys] matrix is whole. `vocabulary_block`
    positions at a time are projected on the vocabulary, real ones only; None projects all at once,
    padding too. `chunk_positions` bounds the positions (prompt and input, of all rows of a chunk)
    that a gradient pass holds at a time on one data shard.
    """

    remat: Remat = "none"
    attention_block: int = 512
    vocabulary_block: int | None = 512
    chunk_positions: int = 512
    attention: Attention = "blocks"

    def layer(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, a layer of its arguments, computed again in the backward pass as `remat`
        says."""
        if self.remat == "none":
            return function
        policy = None
        if self.remat == "dots":
            policy = jax.checkpoint_policies.save_only_these_names(PROJECTION)
        return jax.checkpoint(function, policy=policy)


def even_blocks(queries: int, most: int) -> tuple[int, int]:
    """How many blocks so many queries attend in, and how long each is: `most` at the most, and
    all in one where they fit."""
    if queries <= most:
        return 1, queries
    blocks = math.ceil(queries / most)
    return blocks, min(_TILE * math.ceil(queries / blocks / _TILE), most)
