"""Device slots: who has which, and on which data shard."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Hashable, Mapping
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from ptsys.engine.slot_memory import Memory, Read, SlotValues
from ptsys.engine.trainings import Snapshot
from ptsys.kinds.trees import Layout, Leaf, Shapes, laid, taken
from ptsys.passes.optimizers import LeafState, hyperparameters
from ptsys.passes.train import Hyper
from ptsys.types.training import Optimizer


@dataclasses.dataclass(frozen=True)
class PendingSnapshot:
    """A slot's arrays on their way to the host, of prompts of these shapes."""

    step: int
    layout: Layout
    shapes: Shapes
    arrays: Read

    def read(self) -> Snapshot:
        """Wait for the device and copy."""
        arrays = self.arrays()

        def tree(part: str) -> dict[str, NDArray[Any]]:
            return {
                leaf.name: taken(getattr(arrays[leaf.name], part), leaf, self.shapes[leaf.name])
                for leaf in self.layout.leaves
            }

        updates = {
            leaf.name: np.array(arrays[leaf.name].step[: self.shapes[leaf.name][0]])
            if leaf.members
            else np.array(arrays[leaf.name].step)
            for leaf in self.layout.leaves
        }
        return Snapshot(self.step, tree("value"), tree("first"), tree("second"), updates)


class Slots:
    """Who has which slot of a `memory`, for prompts of one layout. Only the device thread touches
    it."""

    def __init__(self, layout: Layout, memory: Memory) -> None:
        self.shards, self.per_shard = memory.shards, memory.per_shard
        self.layout = layout
        self._memory = memory
        count = self.shards * self.per_shard
        self._hyper: Hyper = {
            leaf.name: hyperparameters([Optimizer()] * count, [1] * count) for leaf in layout.leaves
        }
        self._companions: dict[int, Hashable] = {}
        self._free = [
            list(range((shard + 1) * self.per_shard - 1, shard * self.per_shard - 1, -1))
            for shard in range(self.shards)
        ]

    @property
    def free(self) -> int:
        """Slots nobody uses."""
        return sum(map(len, self._free))

    def place(self, slot: int) -> tuple[int, int]:
        """A slot's shard and its number there."""
        return divmod(slot, self.per_shard)

    def take(
        self,
        snapshot: Snapshot,
        optimizers: Mapping[str, Optimizer],
        steps: int,
        group: Hashable = None,
    ) -> int:
        """Put a resident into a free slot: of the shard with the fewest residents of the same
        `group`, those it shares steps with, and of those with the most free slots. `optimizers` are
        of its arrays, which decay over so many `steps`."""
        slot = self._best_shard(group).pop()
        self._companions[slot] = group
        for name, hyper in self._hyper.items():
            one = hyperparameters([optimizers[name]], [steps])
            for ours, theirs in zip(hyper, one, strict=True):
                ours[slot] = theirs[0]
        values = SlotValues(
            {leaf.name: _leaf_state(snapshot, leaf) for leaf in self.layout.leaves},
            np.int32(snapshot.step),
        )
        self._memory.put(self._address(slot), values, jax.tree.map(np.copy, self._hyper))
        return slot

    def _best_shard(self, group: Hashable) -> list[int]:
        """The free slots of the shard that a resident is best put on."""
        crowd = collections.Counter(
            self.place(slot)[0] for slot, other in self._companions.items() if other == group
        )
        shards = [shard for shard in range(self.shards) if self._free[shard]]
        return self._free[min(shards, key=lambda shard: (crowd[shard], -len(self._free[shard])))]

    def read(self, slot: int, step: int, shapes: Shapes) -> PendingSnapshot:
        """Start copying a slot to the host; later steps do not change what is read."""
        return PendingSnapshot(step, self.layout, shapes, self._memory.get(self._address(slot)))

    def _address(self, slot: int) -> NDArray[np.int32]:
        """The slot's number on its own shard; on the others one that is out of range."""
        shard, number = self.place(slot)
        address = np.full((self.shards,), self.per_shard, np.int32)
        address[shard] = number
        return address

    def give_back(self, slot: int) -> None:
        """Free a slot."""
        del self._companions[slot]
        self._free[self.place(slot)[0]].append(slot)


def _leaf_state(snapshot: Snapshot, leaf: Leaf) -> LeafState:
    """One array of a snapshot as it lies in a slot."""
    value, updates = snapshot.values[leaf.name], snapshot.updates[leaf.name]
    length: Any = np.int32(value.shape[bool(leaf.members)])
    if leaf.members:
        room = leaf.members - len(updates)
        updates = np.pad(updates, (0, room))
        length = np.pad(np.full((len(value),), length, np.int32), (0, room))
    arrays = (laid(x[leaf.name], leaf) for x in (snapshot.values, snapshot.first, snapshot.second))
    whole, first, second = arrays
    return LeafState(whole, length, first, second, np.asarray(updates, np.int32))  # type: ignore[arg-type]
