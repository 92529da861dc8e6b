"""Prompts and rows as trees of arrays, and their padded shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Tree = dict[str, NDArray[np.float32]]
"""A prompt: its arrays by name, of float32. The first axis of each counts positions; where it is
one of several members', such as the tasks of a multi-task prompt, members are counted before."""

Shapes = Mapping[str, tuple[int, ...]]

_LARGE = 4  # what is as large as parts of the model has fewer slots


class Leaf(NamedTuple):
    """One array of a prompt as compiled programs have it: `shape` with its positions padded, and
    so many `members` of it, 0 where there is but one for all. A `fixed` one is not learned; one
    `like` a parameter of the frozen model, by its path, is as large, and is spread as that is."""

    name: str
    shape: tuple[int, ...]
    members: int = 0
    fixed: bool = False
    like: str = ""

    @property
    def whole(self) -> tuple[int, ...]:
        """With the members' axis, where there is one."""
        return (self.members, *self.shape) if self.members else self.shape


class Feature(NamedTuple):
    """One array of a row as compiled programs have it."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "int32"

    @property
    def size(self) -> int:
        """Its padded length; 1 for a number."""
        return self.shape[0] if self.shape else 1


RowLayout = tuple[Feature, ...]


class Layout(NamedTuple):
    """What compiled programs know of a prompt: its kind, its arrays, and how many `positions` the
    model reads of it at most, which is what it costs. Of what writes prompts come so many
    `readings` a step, each made in a `context` that comes with the step's rows."""

    kind: str
    leaves: tuple[Leaf, ...]
    positions: int
    readings: int = 1
    context: RowLayout = ()

    @property
    def members(self) -> int:
        """Readings that come of one prompt: one a member, padded ones too."""
        return max(self.readings, *(leaf.members for leaf in self.leaves))

    @property
    def room(self) -> int:
        """How many times a plain prompt's room a slot takes, roughly."""
        return self.members * (_LARGE if any(leaf.like for leaf in self.leaves) else 1)

    @classmethod
    def of(cls, plain: Sequence[Any]) -> Layout:
        """What came over a wire as plain lists."""
        kind, leaves, positions, readings, context = plain
        own = tuple(Leaf(name, tuple(shape), *rest) for name, shape, *rest in leaves)
        return cls(kind, own, positions, readings, row_layout(context))


def row_layout(plain: Sequence[Any]) -> RowLayout:
    """What came over a wire as plain lists."""
    return tuple(Feature(name, tuple(shape), dtype) for name, shape, dtype in plain)


def shapes_of(tree: Mapping[str, NDArray[Any]]) -> dict[str, tuple[int, ...]]:
    """The shapes of a prompt's arrays."""
    return {name: array.shape for name, array in tree.items()}


def laid(array: NDArray[Any], leaf: Leaf) -> NDArray[np.float32]:
    """An array right-aligned along its positions, and its members before those of padding."""
    whole = np.zeros(leaf.whole, np.float32)
    own = [slice(leaf.shape[0] - array.shape[bool(leaf.members)], None)]
    if leaf.members:
        own.insert(0, slice(len(array)))
    whole[tuple(own)] = array
    return whole


def taken(whole: NDArray[Any], leaf: Leaf, shape: tuple[int, ...]) -> NDArray[Any]:
    """What `laid` laid, an array of `shape`; its own memory."""
    if leaf.members:
        return np.array(whole[: shape[0], leaf.shape[0] - shape[1] :])
    return np.array(whole[leaf.shape[0] - shape[0] :])


def stacked(rows: Sequence[Any], feature: Feature) -> NDArray[Any]:
    """Rows of one feature, [rows, ...], lists padded on the right. Raises ValueError for a row
    that is too long: shapes are the caller's to choose."""
    array = np.zeros((len(rows), *feature.shape), feature.dtype)
    if len(feature.shape) != 1:
        if len(rows):
            array[...] = np.asarray(rows)
        return array
    for place, row in enumerate(rows):
        if len(row) > feature.shape[0]:
            raise ValueError(
                f"row {place} has {len(row)} {feature.name}, the most is {feature.shape[0]}"
            )
        array[place, : len(row)] = row
    return array
