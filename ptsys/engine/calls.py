"""Calls: a few rows of one user, answered through a future; and where they lie in a batch."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import hashlib
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ptsys.engine.groups import Group, Shape
from ptsys.kinds.batch import Readings, Rows
from ptsys.kinds.trees import Layout, Tree, laid, stacked


class Generator(NamedTuple):
    """An encoder that is not the frozen model's: its parameters, as `ptsys.models.t5.generator`
    has them, and a key that no others have."""

    key: str
    arrays: Tree

    @classmethod
    def of(cls, arrays: Tree) -> Generator:
        """One of these parameters."""
        digest = hashlib.sha256()
        for path, array in sorted(arrays.items()):
            digest.update(path.encode() + b"\0" + np.ascontiguousarray(array).data)
        return cls(digest.hexdigest(), arrays)


@dataclasses.dataclass(frozen=True)
class Call:
    """Rows that travel together under one prompt (None: no prompt at all), as the model reads it.
    Calls with the same `share` key may use one prompt slot; where something comes back for a whole
    prompt, they never share. `numbers` are the rows' own in their request. They are read by the
    `generator`, if that is not the frozen model's encoder."""

    key: int
    user: str
    group: Group
    tree: Tree | None
    share: Hashable
    features: Mapping[str, Sequence[Any]]
    numbers: Sequence[int]
    future: concurrent.futures.Future[Any]
    generator: Generator | None = None

    @property
    def rows(self) -> int:
        """What the call costs."""
        return len(self.numbers)


@dataclasses.dataclass(frozen=True)
class Placement:
    """Where a call lies in a batch: the numbers of its `rows`, its `slot` as its rows name it, and
    its prompt's number `prompt` among the batch's."""

    call: Call
    rows: NDArray[np.int64]
    slot: int
    prompt: int

    @property
    def tree(self) -> Tree | None:
        """The call's prompt."""
        return self.call.tree

    @property
    def layout(self) -> Layout:
        """Its prompt's padded shapes."""
        return self.call.group.prompt


@dataclasses.dataclass(frozen=True)
class Laid:
    """A call's rows, each on a `shard` and there in `turn`, and its prompt's `slot`."""

    call: Call
    shard: NDArray[np.int64]
    turn: NDArray[np.int64]
    slot: int


@dataclasses.dataclass(frozen=True)
class BatchLayout:
    """Calls laid over the data shards; padding lies behind a shard's rows.

    Where only rows come back (`apart` false), rows are dealt to the shards in turn and every
    shard has all prompts. Where something comes back for a whole prompt, its gradient, a call
    lies on one shard, and a shard has only its own prompts.
    """

    places: list[Laid]
    apart: bool
    shards: int

    @property
    def slots(self) -> int:
        """Prompts of the fullest shard."""
        return max(place.slot for place in self.places) + 1

    @property
    def rows(self) -> int:
        """Rows of the fullest shard."""
        return int(max(place.turn.max() for place in self.places)) + 1

    def placed(self, shape: Shape) -> list[Placement]:
        """The places in a batch of that shape."""
        return [
            Placement(
                place.call,
                place.shard * shape.rows + place.turn,
                place.slot,
                int(place.shard[0]) * shape.slots + place.slot if self.apart else place.slot,
            )
            for place in self.places
        ]


def lay_in_turn(calls: Sequence[Call], shards: int) -> BatchLayout:
    """Deal the rows to the shards in turn; equal share keys get one slot."""
    slots: dict[Hashable, int] = {}
    places = []
    start = 0
    for call in calls:
        turn, shard = np.divmod(np.arange(start, start + call.rows), shards)
        places.append(Laid(call, shard, turn, slots.setdefault(call.share, len(slots))))
        start += call.rows
    return BatchLayout(places, False, shards)


def lay_apart(calls: Sequence[Call], shards: int) -> BatchLayout:
    """Put each call, the largest first, on the shard with the fewest rows so far."""
    filled, members = [0] * shards, [0] * shards
    places = []
    for call in sorted(calls, key=lambda call: -call.rows):
        shard = min(range(shards), key=lambda number: (filled[number], members[number]))
        turn = np.arange(filled[shard], filled[shard] + call.rows)
        places.append(Laid(call, np.full(call.rows, shard), turn, members[shard]))
        filled[shard] += call.rows
        members[shard] += 1
    return BatchLayout(places, True, shards)


def readings_of(placements: Sequence[Placement], layout: BatchLayout, shape: Shape) -> Readings:
    """The prompts of a batch, right-aligned, as host arrays."""
    count = shape.slots * (layout.shards if layout.apart else 1)
    leaves = shape.group.prompt.leaves
    values = {leaf.name: np.zeros((count, *leaf.shape), np.float32) for leaf in leaves}
    length = {leaf.name: np.zeros((count,), np.int32) for leaf in leaves}
    for placement in placements:
        if placement.tree is None:
            continue
        for leaf in leaves:
            array = placement.tree[leaf.name]
            values[leaf.name][placement.prompt] = laid(array, leaf)
            length[leaf.name][placement.prompt] = len(array)
    return Readings(values, length)  # type: ignore[arg-type]


def rows_of(placements: Sequence[Placement], shape: Shape, shards: int) -> Rows:
    """The rows of a batch; the rest is padding, whose slot is out of range."""
    count = shape.rows * shards
    features = {x.name: np.zeros((count, *x.shape), x.dtype) for x in shape.group.rows}
    slot = np.full((count,), shape.slots, np.int32)
    for placement in placements:
        for feature in shape.group.rows:
            own = stacked(placement.call.features[feature.name], feature)
            features[feature.name][placement.rows] = own
        slot[placement.rows] = placement.slot
    return Rows(features, slot)  # type: ignore[arg-type]
