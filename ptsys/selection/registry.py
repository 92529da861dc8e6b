"""The methods by name, what each needs to know of rows, and the one way to use them."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from ptsys.errors import InvalidInput
from ptsys.selection import badge, contrastive, kmeans, margin, random_rows
from ptsys.selection.pool import Pick, Pool
from ptsys.types.selection import MOST_CHOSEN, SelectionMethod

Choose = Callable[[Pool, int, int], list[Pick]]
"""Chooses so many rows of a pool by a seed."""


@dataclasses.dataclass(frozen=True)
class Method:
    """How rows are chosen. `by_class` is for a method that has to see all classes at once to choose
    of each; others choose of each class alone. `encodings`, `scores` and `targets` say what of
    the rows it needs; a method that needs scores asks a prompted model."""

    choose: Choose
    by_class: Choose | None = None
    encodings: bool = False
    scores: bool = False
    targets: bool = False


METHODS: Mapping[SelectionMethod, Method] = {
    "kmeans": Method(kmeans.choose, encodings=True),
    "margin": Method(margin.choose, scores=True),
    "contrastive": Method(
        contrastive.choose, contrastive.choose_by_class, encodings=True, targets=True
    ),
    "badge": Method(badge.choose, encodings=True, scores=True),
    "random": Method(random_rows.choose),
}


def check(method: SelectionMethod, pool: Pool, count: int, *, per_class: bool) -> None:
    """Raise InvalidInput, naming the field, where so many rows cannot be chosen of these. Nothing
    of the pool but its targets is looked at."""
    if per_class or METHODS[method].targets:
        pool.classes()
    if per_class:
        sizes = collections.Counter(pool.targets)
        if sum(min(count, size) for size in sizes.values()) > MOST_CHOSEN:
            raise InvalidInput(
                f"{count} rows of each of {len(sizes)} targets are more than {MOST_CHOSEN}; "
                "choose fewer",
                field="count",
            )
    elif count > len(pool):
        raise InvalidInput(
            f"{count} rows cannot be chosen of {len(pool)}; choose fewer", field="count"
        )


def choose(
    method: SelectionMethod, pool: Pool, count: int, *, per_class: bool = False, seed: int = 0
) -> list[Pick]:
    """`count` rows, or as many of each target, in the order of the targets; of a target with fewer
    rows all. The same seed gives the same rows. Raises InvalidInput as `check` does, and where a
    method finds nothing to choose."""
    check(method, pool, count, per_class=per_class)
    found = METHODS[method]
    if not per_class:
        return found.choose(pool, count, seed)
    if found.by_class is not None:
        return found.by_class(pool, count, seed)
    picks = []
    for own in pool.classes():
        rows = np.flatnonzero([target == own for target in pool.targets])
        for pick in found.choose(pool.part(rows), min(count, len(rows)), seed):
            picks.append(pick._replace(row=int(rows[pick.row])))
    return picks
