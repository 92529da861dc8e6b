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
from ptsys.passes.batch import Prompts, Rows
from ptsys.passes.decoding import Choices
from ptsys.passes.decoding import choices as neutral
from ptsys.types.requests import Decoding


@dataclasses.dataclass(frozen=True)
class Call:
    """Rows that travel together under one prompt (None: no prompt at all). Calls with the same
    `share` key may use one prompt slot; gradient calls never share."""

    key: int
    user: str
    group: Group
    prompt: NDArray[np.float32] | None
    share: Hashable
    inputs: Sequence[list[int]]
    targets: Sequence[list[int]] | None
    decoding: Decoding
    first_row: int
    future: concurrent.futures.Future[Any]

    @property
    def rows(self) -> int:
        """What the call costs."""
        return len(self.inputs)


@dataclasses.dataclass(frozen=True)
class Placement:
    """Where a call's rows and prompt lie in a batch. Rows are dealt to the data shards in turn,
    so that each gets as many, and a shard's padding lies behind its rows."""

    call: Call
    rows: NDArray[np.int64]
    slot: int


def place(calls: Sequence[Call], shards: int, per_shard: int) -> list[Placement]:
    """Lay calls over the shards' rows; equal share keys get one slot."""
    slots: dict[Hashable, int] = {}
    placements = []
    start = 0
    for call in calls:
        slot = slots.setdefault(call.share, len(slots))
        turn, shard = np.divmod(np.arange(start, start + call.rows), shards)
        placements.append(Placement(call, shard * per_shard + turn, slot))
        start += call.rows
    return placements


def prompts_of(placements: Sequence[Placement], shape: Shape, d_model: int) -> Prompts:
    """The prompts of a batch, right-aligned, as host arrays."""
    values = np.zeros((shape.slots, shape.group.prompt, d_model), np.float32)
    length = np.zeros((shape.slots,), np.int32)
    for placement in placements:
        prompt = placement.call.prompt
        if prompt is not None:
            values[placement.slot, shape.group.prompt - len(prompt) :] = prompt
            length[placement.slot] = len(prompt)
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
        numbers = np.arange(placement.call.rows, dtype=np.uint64) + placement.call.first_row
        mixed = np.uint64(decoding.seed) * np.uint64(0x9E3779B9) + numbers * np.uint64(0x85EBCA6B)
        chosen.seed[rows] = (mixed & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    return chosen
