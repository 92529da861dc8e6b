"""What slots hold, on the device: prompts and optimizer states of one layout."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Int
from numpy.typing import NDArray

from ptsys.kinds.batch import take_each
from ptsys.kinds.trees import Layout
from ptsys.passes.optimizers import LeafState, SlotState, hyperparameters, initial_state
from ptsys.passes.train import Hyper, spread_leaf
from ptsys.sharding.group import spread
from ptsys.sharding.mesh import DATA, ROWS, WHOLE, each_shard, placed, shards_of
from ptsys.types.training import Optimizer

SlotArrays = dict[str, LeafState]
"""One slot's arrays by name, as they lie there."""


class SlotValues(NamedTuple):
    """What is put into a slot."""

    leaves: SlotArrays
    step: Any


Read = Callable[[], SlotArrays]
"""Waits for the device and copies a slot to the host."""


class Memory(Protocol):
    """Where slots lie. `address` [N] has a slot's number at its own data shard, and at the others
    one that is out of range."""

    shards: int
    per_shard: int

    def put(self, address: NDArray[np.int32], values: SlotValues, hyper: Hyper) -> None:
        """Fill a slot, and let all have these hyperparameters."""
        ...

    def get(self, address: NDArray[np.int32]) -> Read:
        """Start copying a slot; later steps do not change what is read."""
        ...


class SlotMemory:
    """`capacity` slots or a few more, as many on each data shard, of prompts of one layout; of
    those with many members fewer, so that they take no more room."""

    def __init__(
        self,
        capacity: int,
        layout: Layout,
        mesh: Mesh | None = None,
        lies: Callable[[str], PartitionSpec] = lambda path: WHOLE,
    ) -> None:
        """`lies` says how a parameter of the frozen model is spread within a data shard."""
        self.shards = shards_of(mesh)
        self.per_shard = -(-max(capacity // layout.room, 1) // self.shards)
        self._mesh, self._spread, self._whole = mesh, placed(mesh, ROWS), placed(mesh, WHOLE)
        self._apart = self._spread is not None and not self._spread.is_fully_addressable
        count = self.shards * self.per_shard
        empty = SlotState(
            {
                leaf.name: initial_state(
                    jnp.zeros((count, *leaf.whole), jnp.float32),
                    jnp.zeros((count, leaf.members) if leaf.members else (count,), jnp.int32),
                )
                for leaf in layout.leaves
            },
            jnp.zeros((count,), jnp.int32),
        )
        self._lies = tuple((leaf.name, lies(leaf.like)) for leaf in layout.leaves if leaf.like)
        self.state: SlotState = SlotState(
            {name: self._placed(name, leaf) for name, leaf in empty.leaves.items()},
            spread(empty.step, self._spread),
        )
        nobody = {
            leaf.name: hyperparameters([Optimizer()] * count, [1] * count) for leaf in layout.leaves
        }
        self.hyper: Hyper = spread(nobody, self._spread)

    def _placed(self, name: str, leaf: LeafState) -> LeafState:
        within = placed(self._mesh, PartitionSpec(DATA, *dict(self._lies).get(name, WHOLE)))
        parts = (spread(x, within if x.ndim > 1 else self._spread) for x in leaf)
        return LeafState(*parts)

    def put(self, address: NDArray[np.int32], values: SlotValues, hyper: Hyper) -> None:
        """See `Memory`."""
        self.hyper = spread(hyper, self._spread)
        if self._apart:
            address, values = spread(address, self._spread), spread(values, self._whole)
        self.state = _put(self._mesh, self._lies, self.state, address, values)

    def get(self, address: NDArray[np.int32]) -> Read:
        """See `Memory`."""
        shard = int(np.argmin(address))
        if self._apart:
            there = spread(address, self._spread)
            summed = _summed(self._mesh)(_get(self._mesh, self.state.leaves, there))
            return lambda: jax.tree.map(np.asarray, summed)
        arrays = _get(self._mesh, self.state.leaves, address)
        return lambda: jax.tree.map(lambda x: _part(x, shard)[0], arrays)


def values_shapes(layout: Layout) -> SlotValues:
    """The structure of what is put into a slot, with anything for its arrays."""
    return SlotValues({leaf.name: LeafState(0, 0, 0, 0, 0) for leaf in layout.leaves}, 0)  # type: ignore[arg-type]


def hyper_shapes(layout: Layout) -> Hyper:
    """The structure of a memory's hyperparameters."""
    return {leaf.name: hyperparameters([], []) for leaf in layout.leaves}


@functools.partial(jax.jit, static_argnums=(0, 1), donate_argnums=2)
def _put(
    mesh: Mesh | None,
    lies: tuple[tuple[str, PartitionSpec], ...],
    state: SlotState,
    address: Int[Array, " N"],
    values: SlotValues,
) -> SlotState:
    def shard(state: SlotState, address: Int[Array, "1"], values: SlotValues) -> SlotState:
        def put(x: jax.Array, y: jax.Array) -> jax.Array:
            return x.at[address[0]].set(y, mode="drop")

        leaves = jax.tree.map(put, state.leaves, values.leaves)
        leaves |= {name: spread_leaf(leaves[name], over) for name, over in lies}
        return SlotState(leaves, put(state.step, values.step))

    return each_shard(mesh, shard, (ROWS, ROWS, WHOLE), ROWS)(state, address, values)


@functools.partial(jax.jit, static_argnums=0)
def _get(mesh: Mesh | None, leaves: SlotArrays, address: Int[Array, " N"]) -> SlotArrays:
    def shard(leaves: SlotArrays, address: Int[Array, "1"]) -> SlotArrays:
        return take_each(leaves, address)

    return each_shard(mesh, shard, (ROWS, ROWS), ROWS)(leaves, address)


@functools.cache
def _summed(mesh: Mesh | None) -> Any:
    """One slot out of what every shard gives, zeros but for the slot's own, to every process."""

    def one(arrays: SlotArrays) -> Any:
        return jax.tree.map(lambda x: jnp.sum(x, axis=0, dtype=x.dtype), arrays)

    return jax.jit(one, out_shardings=placed(mesh, WHOLE))


def _part(x: jax.Array, shard: int) -> NDArray[Any]:
    """What one data shard has of an array, on the host."""
    parts = [part for part in x.addressable_shards if (part.index[0].start or 0) == shard]
    if parts[0].data.shape[1:] == x.shape[1:]:
        return np.asarray(parts[0].data)
    whole = np.empty((len(parts[0].data), *x.shape[1:]), x.dtype)
    for part in parts:
        whole[:, *part.index[1:]] = part.data
    return whole
