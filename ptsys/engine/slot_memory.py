"""What slots hold, on the device: prompts and optimizer states of one prompt width."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int
from numpy.typing import NDArray

from ptsys.kinds.batch import take_slots
from ptsys.passes.optimizers import Hyperparameters, SlotState, hyperparameters, initial_state
from ptsys.sharding.group import spread
from ptsys.sharding.mesh import ROWS, WHOLE, each_shard, placed, shards_of
from ptsys.types.training import Optimizer


class SlotArrays(NamedTuple):
    """One slot's arrays, right-aligned."""

    prompt: Float[Array, "P D"]
    first: Float[Array, "P D"]
    second: Float[Array, "P D"]


class SlotValues(NamedTuple):
    """What is put into a slot."""

    arrays: SlotArrays
    length: np.int32
    step: np.int32


Read = Callable[[], SlotArrays]
"""Waits for the device and copies a slot to the host."""


class Memory(Protocol):
    """Where slots lie. `address` [N] has a slot's number at its own data shard, and at the others
    one that is out of range."""

    shards: int
    per_shard: int

    def put(self, address: NDArray[np.int32], values: SlotValues, hyper: Hyperparameters) -> None:
        """Fill a slot, and let all have these hyperparameters."""
        ...

    def get(self, address: NDArray[np.int32]) -> Read:
        """Start copying a slot; later steps do not change what is read."""
        ...


class SlotMemory:
    """`capacity` slots or a few more, as many on each data shard, of prompts up to `width` long."""

    def __init__(self, capacity: int, width: int, d_model: int, mesh: Mesh | None = None) -> None:
        self.shards = shards_of(mesh)
        self.per_shard = -(-capacity // self.shards)
        self._mesh, self._spread, self._whole = mesh, placed(mesh, ROWS), placed(mesh, WHOLE)
        self._apart = self._spread is not None and not self._spread.is_fully_addressable
        count = self.shards * self.per_shard
        shape = (count, width, d_model)
        empty = initial_state(jnp.zeros(shape, jnp.float32), jnp.zeros((count,), jnp.int32))
        self.state: SlotState = spread(empty, self._spread)
        nobody = hyperparameters([Optimizer()] * count, [1] * count)
        self.hyper: Hyperparameters = spread(nobody, self._spread)

    def put(self, address: NDArray[np.int32], values: SlotValues, hyper: Hyperparameters) -> None:
        """See `Memory`."""
        self.hyper = spread(hyper, self._spread)
        if self._apart:
            address, values = spread(address, self._spread), spread(values, self._whole)
        self.state = _put(self._mesh, self.state, address, values)

    def get(self, address: NDArray[np.int32]) -> Read:
        """See `Memory`."""
        shard = int(np.argmin(address))
        if self._apart:
            there = spread(address, self._spread)
            summed = _summed(self._mesh)(_get(self._mesh, self.state, there))
            return lambda: SlotArrays(*(np.asarray(x) for x in summed))  # type: ignore[arg-type]
        arrays = _get(self._mesh, self.state, address)
        return lambda: SlotArrays(*(np.asarray(_part(x, shard))[0] for x in arrays))


@functools.partial(jax.jit, static_argnums=0, donate_argnums=1)
def _put(
    mesh: Mesh | None, state: SlotState, address: Int[Array, " N"], values: SlotValues
) -> SlotState:
    def shard(state: SlotState, address: Int[Array, "1"], values: SlotValues) -> SlotState:
        arrays, length, step = values
        new = (arrays.prompt, length, arrays.first, arrays.second, step)
        parts = zip(state, new, strict=True)
        return SlotState(*(x.at[address[0]].set(y, mode="drop") for x, y in parts))

    return each_shard(mesh, shard, (ROWS, ROWS, WHOLE), ROWS)(state, address, values)


@functools.partial(jax.jit, static_argnums=0)
def _get(mesh: Mesh | None, state: SlotState, address: Int[Array, " N"]) -> SlotArrays:
    def shard(state: SlotState, address: Int[Array, "1"]) -> SlotArrays:
        parts = (state.prompt, state.first, state.second)
        return SlotArrays(*(take_slots(x, address, 0) for x in parts))

    return each_shard(mesh, shard, (ROWS, ROWS), ROWS)(state, address)


@functools.cache
def _summed(mesh: Mesh | None) -> Any:
    """One slot out of what every shard gives, zeros but for the slot's own, to every process."""

    def one(arrays: SlotArrays) -> SlotArrays:
        return SlotArrays(*(jnp.sum(x, axis=0) for x in arrays))

    return jax.jit(one, out_shardings=placed(mesh, WHOLE))


def _part(x: jax.Array, shard: int) -> jax.Array:
    """What one data shard has of an array."""
    data: jax.Array = next(
        part.data for part in x.addressable_shards if (part.index[0].start or 0) == shard
    )
    return data
