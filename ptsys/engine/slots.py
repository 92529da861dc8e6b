"""Device slots: prompts and optimizer states of residents of one prompt width."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ptsys.engine.residents import Snapshot
from ptsys.passes.optimizers import Hyperparameters, SlotState, hyperparameters, initial_state
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
    """`capacity` slots of prompts up to `width` long. Only the device thread touches it."""

    def __init__(self, capacity: int, width: int, d_model: int) -> None:
        self.capacity = capacity
        self.width = width
        shape = (capacity, width, d_model)
        self.state: SlotState = initial_state(
            jnp.zeros(shape, jnp.float32), jnp.zeros((capacity,), jnp.int32)
        )
        self._hyper = hyperparameters(
            [TrainingSpec(name="x", dataset="x").optimizer] * capacity, [1] * capacity
        )
        self.hyper: Hyperparameters = jax.tree.map(jnp.asarray, self._hyper)
        self._free = list(range(capacity - 1, -1, -1))

    @property
    def free(self) -> int:
        """Slots nobody uses."""
        return len(self._free)

    def take(self, snapshot: Snapshot, spec: TrainingSpec) -> int:
        """Put a resident into a free slot."""
        slot = self._free.pop()
        one = hyperparameters([spec.optimizer], [spec.steps])
        for ours, theirs in zip(self._hyper, one, strict=True):
            ours[slot] = theirs[0]
        self.hyper = jax.tree.map(jnp.asarray, self._hyper)
        length = snapshot.prompt.shape[0]

        def wide(x: np.ndarray) -> Any:
            return np.pad(x.astype(np.float32), ((self.width - length, 0), (0, 0)))

        arrays = SlotArrays(*map(wide, (snapshot.prompt, snapshot.first, snapshot.second)))
        self.state = _put(self.state, slot, arrays, length, snapshot.step)
        return slot

    def read(self, slot: int, step: int, length: int) -> PendingSnapshot:
        """Start copying a slot to the host; later steps do not change what is read."""
        return PendingSnapshot(step, length, _get(self.state, slot))

    def give_back(self, slot: int) -> None:
        """Free a slot."""
        self._free.append(slot)


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
