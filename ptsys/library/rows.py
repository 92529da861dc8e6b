"""The vectors of an index, each in the slot of its id."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ptsys.errors import InvalidInput

SMALLEST_LENGTH = 1e-30  # shorter vectors count as zero: they have no direction in float32
GREATEST_LENGTH = 1e18  # longer ones have no squared length in float32
_FIRST_CAPACITY = 64


class Rows:
    """Vectors `[capacity, D]`, their lengths, and which slot is whose. Not thread-safe.

    A slot stays an id's until the id is removed; then it is given to the next new id.
    """

    def __init__(self, dimension: int, capacity: int = _FIRST_CAPACITY) -> None:
        self.vectors: NDArray[np.float32] = np.zeros((capacity, dimension), np.float32)
        self.squared: NDArray[np.float32] = np.zeros(capacity, np.float32)
        self.inverse: NDArray[np.float32] = np.zeros(capacity, np.float32)
        """One by the length; 0 where the vector is zero, so that its cosine is 0 with all."""
        self.alive: NDArray[np.bool_] = np.zeros(capacity, np.bool_)
        self.ids: list[str | None] = []
        self._slots: dict[str, int] = {}
        self._free: list[int] = []

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def dimension(self) -> int:
        """Length of a vector, D."""
        return int(self.vectors.shape[1])

    @property
    def capacity(self) -> int:
        """How many slots there are, taken or not."""
        return len(self.vectors)

    @property
    def used(self) -> int:
        """All slots ever taken lie below this one."""
        return len(self.ids)

    def slots(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """The slot of each id, -1 where it is unknown."""
        return np.array([self._slots.get(one, -1) for one in ids], np.int64)

    def live(self) -> NDArray[np.int64]:
        """The taken slots, in order."""
        return np.flatnonzero(self.alive[: self.used])

    def put(self, ids: Sequence[str], vectors: NDArray[np.float32]) -> NDArray[np.int64]:
        """Set the vectors of ids, known or new; returns their slots."""
        slots = np.array([self._slot_for(one) for one in ids], np.int64)
        self._reserve(self.used)
        self._set(slots, vectors)
        return slots

    def restore(
        self, ids: Sequence[str], slots: NDArray[np.int64], vectors: NDArray[np.float32]
    ) -> None:
        """Fill an empty object of the right capacity: ids in the slots they had."""
        self.ids = [None] * (int(slots.max()) + 1 if len(slots) else 0)
        for one, slot in zip(ids, slots.tolist(), strict=True):
            self.ids[slot] = one
            self._slots[one] = slot
        self._free = [slot for slot, one in enumerate(self.ids) if one is None]
        self._set(slots, vectors)

    def remove(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """Free the slots of the ids that are known; returns those slots."""
        slots = [self._slots.pop(one) for one in dict.fromkeys(ids) if one in self._slots]
        for slot in slots:
            self.ids[slot] = None
        self._free.extend(slots)
        freed = np.array(slots, np.int64)
        self.alive[freed] = False
        self.vectors[freed] = 0
        return freed

    def _set(self, slots: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
        some = lengths > SMALLEST_LENGTH
        self.vectors[slots] = vectors
        self.squared[slots] = np.square(lengths)
        self.inverse[slots] = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=some)
        self.alive[slots] = True

    def _slot_for(self, one: str) -> int:
        slot = self._slots.get(one)
        if slot is None:
            if self._free:
                slot = self._free.pop()
                self.ids[slot] = one
            else:
                slot = len(self.ids)
                self.ids.append(one)
            self._slots[one] = slot
        return slot

    def _reserve(self, count: int) -> None:
        if count <= self.capacity:
            return
        more = max(count, self.capacity * 3 // 2) - self.capacity
        self.vectors = np.concatenate([self.vectors, np.zeros((more, self.dimension), np.float32)])
        self.squared = np.concatenate([self.squared, np.zeros(more, np.float32)])
        self.inverse = np.concatenate([self.inverse, np.zeros(more, np.float32)])
        self.alive = np.concatenate([self.alive, np.zeros(more, np.bool_)])


def checked(vectors: object, dimension: int, field: str) -> NDArray[np.float32]:
    """Vectors `[N, dimension]` as float32. Raises InvalidInput naming `field` if they are none."""
    try:
        found = np.asarray(vectors, dtype=np.float32)
    except (TypeError, ValueError, OverflowError):
        raise InvalidInput(
            f"{field} must be numbers of shape [N, {dimension}]", field=field
        ) from None
    if found.ndim != 2 or found.shape[1] != dimension:
        raise InvalidInput(
            f"{field} have shape {list(found.shape)}; this index takes [N, {dimension}]",
            field=field,
        )
    lengths = np.linalg.norm(found.astype(np.float64), axis=1)
    bad = np.flatnonzero(~(lengths < GREATEST_LENGTH))
    if len(bad):
        raise InvalidInput(
            f"row {bad[0]} of {field} is not finite or longer than {GREATEST_LENGTH:.0e}; "
            "leave it out, or train its prompt again",
            field=field,
        )
    return np.ascontiguousarray(found)
