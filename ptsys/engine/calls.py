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
    """Where a call's rows and prompt lie in a batch."""

    call: Call
    start: int
    slot: int

    @property
    def rows(self) -> slice:
        """Its rows."""
        return slice(self.start, self.start + self.call.rows)


def place(calls: Sequence[Call]) -> tuple[list[Placement], int]:
    """Lay calls one after another; equal share keys get one slot. Returns the slots used."""
    slots: dict[Hashable, int] = {}
    placements = []
    start = 0
    for call in calls:
        slot = slots.setdefault(call.share, len(slots))
        placements.append(Placement(call, start, slot))
        start += call.rows
    return placements, len(slots)


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


def rows_of(placements: Sequence[Placement], shape: Shape) -> Rows:
    """The rows of a batch; the rest is padding, whose slot is out of range."""
    inputs = [ids for p in placements for ids in p.call.inputs]
    targets = [ids for p in placements for ids in p.call.targets or [[]] * p.call.rows]
    slot = np.full((shape.rows,), shape.slots, np.int32)
    for placement in placements:
        slot[placement.rows] = placement.slot
    group = shape.group
    padded = pad(inputs, group.inputs, shape.rows), pad(targets, group.targets, shape.rows)
    return Rows(*padded, slot)  # type: ignore[arg-type]


def choices_of(placements: Sequence[Placement], shape: Shape) -> Choices:
    """The per-row options of `generate`. A row's seed depends on its request's seed and its
    number there, so neither company nor splitting changes a sample."""
    chosen = neutral(shape.rows, shape.group.targets)
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
