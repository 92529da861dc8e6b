"""Device slots: prompts and optimizer states of residents of one prompt width."""

from __future__ import annotations

import collections
import dataclasses
import functools
from collections.abc import Hashable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int
from numpy.typing import NDArray

from ptsys.engine.residents import Snapshot
from ptsys.passes.batch import take_slots
from ptsys.passes.optimizers import Hyperparameters, SlotState, hyperparameters, initial_state
from ptsys.sharding.mesh import ROWS, WHOLE, each_shard, placed, shards_of
from ptsys.types.training import TrainingSpec


class SlotArrays(NamedTuple):
    """One slot's device arrays, right-aligned."""

    prompt: Float[Array, "P D"]
    first: Float[Array, "P D"]
    second: Float[Array, "P D"]


class SlotValues(NamedTuple):
    """What is put into a slot."""

    arrays: SlotArrays
    length: np.int32
    step: np.int32


@dataclasses.dataclass(frozen=True)
class PendingSnapshot:
    """A slot's arrays on their way to the host: every shard's, of which one is the slot's."""

    step: int
    length: int
    shard: int
    arrays: SlotArrays

    def read(self) -> Snapshot:
        """Wait for the device and copy."""
        prompt, first, second = (
            np.array(_part(x, self.shard))[0, -self.length :] for x in self.arrays
        )
        return Snapshot(self.step, prompt, first, second)


class Slots:
    """`capacity` slots or a few more, as many on each data shard, of prompts up to `width` long.
    Only the device thread touches it."""

    def __init__(self, capacity: int, width: int, d_model: int, mesh: Mesh | None = None) -> None:
        self.shards = shards_of(mesh)
        self.per_shard = -(-capacity // self.shards)
        self.width = width
        count = self.shards * self.per_shard
        shape = (count, width, d_model)
        empty = initial_state(jnp.zeros(shape, jnp.float32), jnp.zeros((count,), jnp.int32))
        self._mesh, self._spread = mesh, placed(mesh, ROWS)
        self.state: SlotState = jax.device_put(empty, self._spread)
        self._hyper = hyperparameters(
            [TrainingSpec(name="x", dataset="x").optimizer] * count, [1] * count
        )
        self.hyper: Hyperparameters = jax.device_put(self._hyper, self._spread)
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
        self.hyper = jax.device_put(jax.tree.map(np.copy, self._hyper), self._spread)
        length = snapshot.prompt.shape[0]

        def wide(x: np.ndarray) -> Any:
            return np.pad(x.astype(np.float32), ((self.width - length, 0), (0, 0)))

        arrays = SlotArrays(*map(wide, (snapshot.prompt, snapshot.first, snapshot.second)))
        values = SlotValues(arrays, np.int32(length), np.int32(snapshot.step))
        self.state = _put(self._mesh, self.state, self._address(slot), values)
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
        arrays = _get(self._mesh, self.state, self._address(slot))
        return PendingSnapshot(step, length, self.place(slot)[0], arrays)

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


@functools.partial(jax.jit, static_argnums=0, donate_argnums=1)
def _put(
    mesh: Mesh | None, state: SlotState, address: Int[Array, "N"], values: SlotValues
) -> SlotState:
    def shard(state: SlotState, address: Int[Array, "1"], values: SlotValues) -> SlotState:
        arrays, length, step = values
        new = (arrays.prompt, length, arrays.first, arrays.second, step)
        parts = zip(state, new, strict=True)
        return SlotState(*(x.at[address[0]].set(y, mode="drop") for x, y in parts))

    return each_shard(mesh, shard, (ROWS, ROWS, WHOLE), ROWS)(state, address, values)


@functools.partial(jax.jit, static_argnums=0)
def _get(mesh: Mesh | None, state: SlotState, address: Int[Array, "N"]) -> SlotArrays:
    def shard(state: SlotState, address: Int[Array, "1"]) -> SlotArrays:
        parts = (state.prompt, state.first, state.second)
        return SlotArrays(*(take_slots(x, address, 0) for x in parts))

    return each_shard(mesh, shard, (ROWS, ROWS), ROWS)(state, address)


def _part(x: jax.Array, shard: int) -> jax.Array:
    """What one data shard has of an array."""
    parts = sorted(x.addressable_shards, key=lambda part: part.index[0].start or 0)
    data: jax.Array = parts[shard].data
    return data
