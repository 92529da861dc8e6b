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

from ptsys.engine.residents import Snapshot
from ptsys.passes.optimizers import Hyperparameters, SlotState, hyperparameters, initial_state
from ptsys.sharding.mesh import ROWS, placed, shards_of
from ptsys.types.training import TrainingSpec


class SlotArrays(NamedTuple):
    """One slot's device arrays, right-aligned."""

    prompt: Float[Array, "P D"]
    first: Float[Array, "P D"]
    second: Float[Array, "P D"]


@dataclasses.dataclass(frozen=True)
class PendingSnapshot:
    """A slot's arrays on their way to the host."""

    step: int
    length: int
    arrays: SlotArrays

    def read(self) -> Snapshot:
        """Wait for the device and copy."""
        prompt, first, second = (np.array(x)[-self.length :] for x in self.arrays)
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
        self._spread = placed(mesh, ROWS)
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
        self.state = _put(self.state, slot, arrays, length, snapshot.step)
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
        return PendingSnapshot(step, length, _get(self.state, slot))

    def give_back(self, slot: int) -> None:
        """Free a slot."""
        del self._company[slot]
        self._free[self.place(slot)[0]].append(slot)


@functools.partial(jax.jit, donate_argnums=0)
def _put(
    state: SlotState, slot: Int[Array, ""], arrays: SlotArrays, length: int, step: int
) -> SlotState:
    return SlotState(
        prompt=state.prompt.at[slot].set(arrays.prompt),
        length=state.length.at[slot].set(length),
        first=state.first.at[slot].set(arrays.first),
        second=state.second.at[slot].set(arrays.second),
        step=state.step.at[slot].set(step),
    )


@jax.jit
def _get(state: SlotState, slot: Int[Array, ""]) -> SlotArrays:
    return SlotArrays(state.prompt[slot], state.first[slot], state.second[slot])
