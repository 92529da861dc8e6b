"""Interactive calls: a few rows of one user, answered through a future."""

from __future__ import annotations

import concurrent.futures
import dataclasses
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptsys.data.features import pad
from ptsys.engine.groups import Group, Shape
from ptsys.kinds.batch import Prompts, Rows
from ptsys.models.t5.decoding import Choices
from ptsys.models.t5.decoding import choices as neutral
from ptsys.types.requests import Decoding


@dataclasses.dataclass(frozen=True)
class Call:
    """Rows that travel together under one prompt (None: no prompt at all). Calls with the same
    `share` key may use one prompt slot; gradient calls never share. `numbers` are the rows' own in
    their request."""

    key: int
    user: str
    group: Group
    prompt: NDArray[np.float32] | None
    share: Hashable
    inputs: Sequence[list[int]]
    targets: Sequence[list[int]] | None
    decoding: Decoding
    numbers: Sequence[int]
    future: concurrent.futures.Future[Any]

    @property
    def rows(self) -> int:
        """What the call costs."""
        return len(self.inputs)


@dataclasses.dataclass(frozen=True)
class Placement:
    """Where a call lies in a batch: the numbers of its `rows`, its `slot` as its rows name it, and
    its prompt's number `prompt` among the batch's."""

    call: Call
    rows: NDArray[np.int64]
    slot: int
    prompt: int


@dataclasses.dataclass(frozen=True)
class Laid:
    """A call's rows, each on a `shard` and there in `turn`, and its prompt's `slot`."""

    call: Call
    shard: NDArray[np.int64]
    turn: NDArray[np.int64]
    slot: int


@dataclasses.dataclass(frozen=True)
class Layout:
    """Calls laid over the data shards; padding lies behind a shard's rows.

    Where only rows come back (`apart` false), rows are dealt to the shards in turn and every
    shard has all prompts. Where something comes back for a whole prompt, its gradient, a call
    lies on one shard, and a shard has only its own prompts.
    """

    laid: list[Laid]
    apart: bool
    shards: int

    @property
    def slots(self) -> int:
        """Prompts of the fullest shard."""
        return max(laid.slot for laid in self.laid) + 1

    @property
    def rows(self) -> int:
        """Rows of the fullest shard."""
        return int(max(laid.turn.max() for laid in self.laid)) + 1

    def placed(self, shape: Shape) -> list[Placement]:
        """The places in a batch of that shape."""
        return [
            Placement(
                laid.call,
                laid.shard * shape.rows + laid.turn,
                laid.slot,
                int(laid.shard[0]) * shape.slots + laid.slot if self.apart else laid.slot,
            )
            for laid in self.laid
        ]


def lay_in_turn(calls: Sequence[Call], shards: int) -> Layout:
    """Deal the rows to the shards in turn; equal share keys get one slot."""
    slots: dict[Hashable, int] = {}
    laid = []
    start = 0
    for call in calls:
        turn, shard = np.divmod(np.arange(start, start + call.rows), shards)
        laid.append(Laid(call, shard, turn, slots.setdefault(call.share, len(slots))))
        start += call.rows
    return Layout(laid, False, shards)


def lay_apart(calls: Sequence[Call], shards: int) -> Layout:
    """Put each call, the largest first, on the shard with the fewest rows so far."""
    filled, members = [0] * shards, [0] * shards
    laid = []
    for call in sorted(calls, key=lambda call: -call.rows):
        shard = min(range(shards), key=lambda number: (filled[number], members[number]))
        turn = np.arange(filled[shard], filled[shard] + call.rows)
        laid.append(Laid(call, np.full(call.rows, shard), turn, members[shard]))
        filled[shard] += call.rows
        members[shard] += 1
    return Layout(laid, True, shards)


def prompts_of(
    placements: Sequence[Placement], layout: Layout, shape: Shape, d_model: int
) -> Prompts:
    """The prompts of a batch, right-aligned, as host arrays."""
    count = shape.slots * (layout.shards if layout.apart else 1)
    values = np.zeros((count, shape.group.prompt, d_model), np.float32)
    length = np.zeros((count,), np.int32)
    for placement in placements:
        prompt = placement.call.prompt
        if prompt is not None:
            values[placement.prompt, shape.group.prompt - len(prompt) :] = prompt
            length[placement.prompt] = len(prompt)
    return Prompts(values, length)  # type: ignore[arg-type]


def rows_of(placements: Sequence[Placement], shape: Shape, shards: int) -> Rows:
    """The rows of a batch; the rest is padding, whose slot is out of range."""
    group, count = shape.group, shape.rows * shards
    inputs = np.zeros((count, group.inputs), np.int32)
    targets = np.zeros((count, group.targets), np.int32)
    slot = np.full((count,), shape.slots, np.int32)
    for placement in placements:
        call, rows = placement.call, placement.rows
        inputs[rows] = pad(call.inputs, group.inputs, call.rows)
        if call.targets is not None:
            targets[rows] = pad(call.targets, group.targets, call.rows)
        slot[rows] = placement.slot
    return Rows(inputs, targets, slot)  # type: ignore[arg-type]


def choices_of(placements: Sequence[Placement], shape: Shape, shards: int) -> Choices:
    """The per-row options of `generate`. A row's seed depends on its request's seed and its
    number there, so neither company nor splitting changes a sample."""
    chosen = neutral(shape.rows * shards, shape.group.targets)
    for placement in placements:
        decoding, rows = placement.call.decoding, placement.rows
        chosen.limit[rows] = min(decoding.max_tokens, shape.group.targets)
        chosen.temperature[rows] = decoding.temperature
        chosen.top_p[rows] = decoding.top_p
        chosen.length_penalty[rows] = decoding.length_penalty
        numbers = np.asarray(placement.call.numbers, np.uint64)
        mixed = np.uint64(decoding.seed) * np.uint64(0x9E3779B9) + numbers * np.uint64(0x85EBCA6B)
        chosen.seed[rows] = (mixed & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    return chosen
