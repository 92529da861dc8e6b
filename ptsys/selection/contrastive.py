"""Pairs of rows that a model reads alike and that have different targets: they show a boundary.

Similarity is the cosine of the encodings less their mean over the rows: what all rows have in
common, which is most of an encoding, says nothing. Rows that are read the same (similarity 1) but
have different targets contradict each other and are no pair.
"""

from __future__ import annotations

import collections
import heapq

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from ptsys.errors import InvalidInput
from ptsys.selection.pool import Pick, Pool

_SAME = 1 - 1e-6  # a similarity from which on two rows are one
_BLOCK = 512  # rows whose similarities to all are held at a time
_NONE = -np.inf


def choose(pool: Pool, count: int, seed: int) -> list[Pick]:
    """The most similar pairs, no row in two of them; an odd one joins the pair it is like. Nothing
    is drawn."""
    return _choose(pool, count, None)


def choose_by_class(pool: Pool, count: int, seed: int) -> list[Pick]:
    """As `choose`, but `count` rows of each class: once a class is full, no more of it is paired,
    and what others lack are the rows most like one of another class in a pair."""
    return _choose(pool, None, count)


def _choose(pool: Pool, total: int | None, each: int | None) -> list[Pick]:
    names = pool.classes()
    if len(names) < 2:
        raise InvalidInput(
            "all rows have one target; contrastive pairs need rows with two at least",
            field="method",
        )
    numbers = {name: number for number, name in enumerate(names)}
    classes = np.array([numbers[target or ""] for target in pool.targets])
    pairing = _Pairing(_directions(pool.read()), classes, total, each)
    pairing.take_pairs()
    if not pairing.found:
        raise InvalidInput(
            "no two rows with different targets are read differently; give other rows",
            field="rows",
        )
    pairing.take_rest()
    return [
        Pick(
            row,
            f"{similarity:.3f} similar to row {partner}, whose target is "
            f"{pool.targets[partner]!r}, not {pool.targets[row]!r}",
            {"similarity": similarity},
            partner,
        )
        for row, partner, similarity in pairing.found
    ]


class _Pairing:
    """Takes pairs greedily. `found` has of each row its partner and their similarity."""

    def __init__(
        self,
        directions: Float[ndarray, "N D"],
        classes: Int[ndarray, " N"],
        total: int | None,
        each: int | None,
    ) -> None:
        self.found: list[tuple[int, int, float]] = []
        self._directions, self._classes = directions, classes
        self._silent = (
            np.abs(directions).max(axis=1) == 0
        )  # read as the mean is: such rows are one as well
        self._total, self._each = total, each
        self._free: Bool[ndarray, " N"] = np.ones(len(classes), bool)
        self._room: collections.Counter[int] = collections.Counter(classes.tolist())
        if each is not None:
            self._room = collections.Counter({one: min(each, n) for one, n in self._room.items()})
        self._left = sum(self._room.values()) if total is None else total

    def take_pairs(self) -> None:
        """While there is room for two."""
        best = np.concatenate([self._similarities(part) for part in self._parts()])
        waiting = [
            (-float(similarity), row, int(partner))
            for row, (similarity, partner) in enumerate(best)
            if similarity > _NONE
        ]
        heapq.heapify(waiting)
        while waiting and self._left >= 2:
            negative, row, partner = heapq.heappop(waiting)
            if not self._free[row]:
                continue
            if not self._free[partner]:  # look again among those that are left
                [(similarity, other)] = self._similarities(np.array([row]))
                if similarity > _NONE:
                    heapq.heappush(waiting, (-float(similarity), row, int(other)))
                continue
            self._take(row, partner, -negative)
            self._take(partner, row, -negative)

    def take_rest(self) -> None:
        """Rows that are like one of another class that was chosen, until there is no room."""
        chosen = np.array([row for row, _, _ in self.found])
        rows = np.flatnonzero(self._free)
        if not self._left or not len(rows):
            return
        likeness = self._masked(rows, chosen)
        best = likeness.max(axis=1)
        for place in np.argsort(-best, kind="stable"):
            row = int(rows[place])
            if not self._left or best[place] == _NONE:
                return
            if self._free[row]:
                self._take(row, int(chosen[likeness[place].argmax()]), float(best[place]))

    def _parts(self) -> list[Int[ndarray, " n"]]:
        count = len(self._classes)
        return [np.arange(start, min(start + _BLOCK, count)) for start in range(0, count, _BLOCK)]

    def _similarities(self, rows: Int[ndarray, " n"]) -> Float[ndarray, "n 2"]:
        """Of each row the most similar free one of another class: how similar, and which."""
        likeness = self._masked(rows, np.arange(len(self._classes)))
        likeness[:, ~self._free] = _NONE
        return np.stack([likeness.max(axis=1), likeness.argmax(axis=1)], axis=1)

    def _masked(
        self, rows: Int[ndarray, " n"], others: Int[ndarray, " m"]
    ) -> Float[ndarray, "n m"]:
        """How similar rows are to others; those of one class, or read the same, not at all."""
        likeness = self._directions[rows] @ self._directions[others].T
        alike = self._classes[rows][:, None] == self._classes[others][None]
        both_silent = self._silent[rows][:, None] & self._silent[others][None]
        none = alike | both_silent | (likeness >= _SAME)
        masked: Float[ndarray, "n m"] = np.where(none, _NONE, likeness)
        return masked

    def _take(self, row: int, partner: int, similarity: float) -> None:
        self.found.append((row, partner, similarity))
        self._free[row] = False
        self._left -= 1
        own = int(self._classes[row])
        self._room[own] -= 1
        if not self._room[own]:
            self._free[self._classes == own] = False


def _directions(encodings: Float[ndarray, "N D"]) -> Float[ndarray, "N D"]:
    """The unit vectors of the encodings less their mean; one that is zero stays so."""
    centred = encodings - encodings.mean(axis=0, keepdims=True)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    units: Float[ndarray, "N D"] = np.divide(
        centred, lengths, out=np.zeros_like(centred), where=lengths > 0
    )
    return units
