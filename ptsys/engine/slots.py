"""Device slots: who has which, and on which data shard."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Hashable
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from ptsys.engine.residents import Snapshot
from ptsys.engine.slot_memory import Memory, Read, SlotArrays, SlotValues
from ptsys.passes.optimizers import hyperparameters
from ptsys.types.training import Optimizer, TrainingSpec


@dataclasses.dataclass(frozen=True)
class PendingSnapshot:
    """A slot's arrays on their way to the host."""

    step: int
    length: int
    arrays: Read

    def read(self) -> Snapshot:
        """Wait for the device and copy."""
        prompt, first, second = (np.array(x[-self.length :]) for x in self.arrays())
        return Snapshot(self.step, prompt, first, second)


class Slots:
    """Who has which slot of a `memory`, for prompts up to `width` long. Only the device thread
    touches it."""

    def __init__(self, width: int, memory: Memory) -> None:
        self.shards, self.per_shard = memory.shards, memory.per_shard
        self.width = width
        self._memory = memory
        count = self.shards * self.per_shard
        self._hyper = hyperparameters([Optimizer()] * count, [1] * count)
        self._company: dict[int, Hashable] = {}
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

    def take(self, snapshot: Snapshot, spec: TrainingSpec, company: Hashable = None) -> int:
        """Put a resident into a free slot: of the shard with the fewest residents of the same
        `company`, those it shares steps with, and of those with the most free slots."""
        slot = self._best_shard(company).pop()
        self._company[slot] = company
        one = hyperparameters([spec.optimizer], [spec.steps])
        for ours, theirs in zip(self._hyper, one, strict=True):
            ours[slot] = theirs[0]
        length = snapshot.prompt.shape[0]

        def wide(x: np.ndarray) -> Any:
            return np.pad(x.astype(np.float32), ((self.width - length, 0), (0, 0)))

        arrays = SlotArrays(*map(wide, (snapshot.prompt, snapshot.first, snapshot.second)))
        values = SlotValues(arrays, np.int32(length), np.int32(snapshot.step))
        hyper = jax.tree.map(np.copy, self._hyper)
        self._memory.put(self._address(slot), values, hyper)
        return slot

    def _best_shard(self, company: Hashable) -> list[int]:
        """The free slots of the shard that a resident is best put on."""
        crowd = collections.Counter(
            self.place(slot)[0] for slot, other in self._company.items() if other == company
        )
        shards = [shard for shard in range(self.shards) if self._free[shard]]
        return self._free[min(shards, key=lambda shard: (crowd[shard], -len(self._free[shard])))]

    def read(self, slot: int, step: int, length: int) -> PendingSnapshot:
        """Start copying a slot to the host; later steps do not change what is read."""
        return PendingSnapshot(step, length, self._memory.get(self._address(slot)))

    def _address(self, slot: int) -> NDArray[np.int32]:
        """The slot's number on its own shard; on the others one that is out of range."""
        shard, number = self.place(slot)
        address = np.full((self.shards,), self.per_shard, np.int32)
        address[shard] = number
        return address

    def give_back(self, slot: int) -> None:
        """Free a slot."""
        del self._company[slot]
        self._free[self.place(slot)[0]].append(slot)
