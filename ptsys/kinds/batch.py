"""The trees of arrays that a pass works on.

Shape letters: U slots, N members of a slot, V = U * N readings, P prompt positions, B rows.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Shaped

Tree = TypeVar("Tree")


class Readings(NamedTuple):
    """What a model reads of several users' prompts: arrays by name, of float32 [V, P, ...] each.

    Each is right-aligned: padding lies on its left, where the relative positions between prompt
    and input do not see it. `length` [V] counts the positions of each that are real.
    """

    values: dict[str, Float[Array, "V P *rest"]]
    length: dict[str, Int[Array, " V"]]

    @property
    def number(self) -> int:
        """How many there are."""
        return next(iter(self.length.values())).shape[0]


class Rows(NamedTuple):
    """Rows of several users: what the model kind makes of them, arrays [B, ...] by name. `slot`
    names each row's reading; a row whose slot is out of range (negative, or V and more) is padding:
    it reads zeros and its gradient goes nowhere."""

    features: dict[str, Shaped[Array, " B *rest"]]
    slot: Int[Array, " B"]


def prompt_mask(length: Int[Array, " V"], width: int) -> Bool[Array, "V P"]:
    """True where a right-aligned array of `length` has a position."""
    return jnp.arange(width)[None, :] >= width - length[:, None]


def masked(readings: Readings) -> Readings:
    """The same with zeros at padding."""
    return readings._replace(
        values={
            name: jnp.where(real_positions(x, readings.length[name]), x, 0)
            for name, x in readings.values.items()
        }
    )


def real_positions(x: Float[Array, "V P *rest"], length: Int[Array, " V"]) -> Bool[Array, "V P *_"]:
    """The mask of an array's positions, with as many axes as it has."""
    mask = prompt_mask(length, x.shape[1])
    return mask.reshape(*mask.shape, *[1] * (x.ndim - 2))


def gather(readings: Readings, slot: Int[Array, " B"]) -> Readings:
    """Each row's reading, of no position where the slot is out of range. Its transpose adds every
    row's gradient to its own slot and to no other, so users cannot reach one another."""
    return take_each(masked(readings), slot)


def take_slots(
    x: Shaped[Array, " U *rest"], slot: Int[Array, " B"], fill: float
) -> Shaped[Array, " B *rest"]:
    """`x[slot]`, with `fill` where the slot is out of range: a negative slot must not wrap round
    to another user's."""
    return x.at[slot].get(mode="fill", fill_value=fill, wrap_negative_indices=False)


def take_each(tree: Tree, slot: Int[Array, " B"]) -> Tree:
    """`take_slots` of every array of a tree, zeros where the slot is out of range."""
    taken: Tree = jax.tree.map(lambda x: take_slots(x, slot, 0), tree)
    return taken


def add_slots(
    sums: Shaped[Array, " U *rest"], slot: Int[Array, " B"], rows: Shaped[Array, " B *rest"]
) -> Shaped[Array, " U *rest"]:
    """Add every row to its slot; padding rows to none."""
    return sums.at[slot].add(rows, mode="drop", wrap_negative_indices=False)


def real_rows(slot: Int[Array, " B"], slots: int) -> Bool[Array, " B"]:
    """False for padding rows."""
    return (slot >= 0) & (slot < slots)
