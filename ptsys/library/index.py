"""An exact stand-in for the index of vectors, until that is there."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from etils import epath
from numpy.typing import NDArray

from ptsys.errors import InvalidInput
from ptsys.types.library import Metric


class Hit(NamedTuple):
    """One id that was found."""

    id: str
    score: float


class VectorIndex:
    """Vectors by id."""

    def __init__(self, dimension: int, *, exact_below: int = 5000) -> None:
        self.dimension = dimension
        self._vectors = np.zeros((0, dimension), np.float32)
        self._ids: list[str | None] = []
        self._slots: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def capacity(self) -> int:
        """Slots, free ones too."""
        return len(self._ids)

    def upsert(self, ids: Sequence[str], vectors: NDArray[np.float32]) -> NDArray[np.int64]:
        """Put in or replace."""
        for one, vector in zip(ids, vectors, strict=True):
            if one not in self._slots:
                self._slots[one] = len(self._ids)
                self._ids.append(one)
                self._vectors = np.concatenate([self._vectors, vector[None]])
            self._vectors[self._slots[one]] = vector
        return self.slots(ids)

    def delete(self, ids: Sequence[str]) -> None:
        """Take out."""
        for one in ids:
            slot = self._slots.pop(one, None)
            if slot is not None:
                self._ids[slot] = None

    def slots(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """Slots, -1 where unknown."""
        return np.array([self._slots.get(one, -1) for one in ids], np.int64)

    def steady(self) -> contextlib.AbstractContextManager[None]:
        """No writes meanwhile."""
        return contextlib.nullcontext()

    def id_at(self, slot: int) -> str | None:
        """The id."""
        return self._ids[slot]

    def vectors_of(self, ids: Sequence[str]) -> NDArray[np.float32]:
        """Vectors."""
        return self._vectors[self.slots(ids)]

    def search(
        self,
        queries: NDArray[np.float32],
        count: int,
        metric: Metric = "cosine",
        *,
        allowed: NDArray[np.bool_] | None = None,
    ) -> list[list[Hit]]:
        """Best first."""
        found = []
        for query in queries:
            dots = self._vectors @ query
            if metric == "cosine":
                norms = np.linalg.norm(self._vectors, axis=1) * np.linalg.norm(query)
                dots = dots / np.maximum(norms, 1e-30)
            if metric == "l2":
                dots = -np.linalg.norm(self._vectors - query, axis=1)
            hits = [
                Hit(one, float(dots[slot]))
                for one, slot in self._slots.items()
                if allowed is None or allowed[slot]
            ]
            found.append(sorted(hits, key=lambda hit: (-hit.score, hit.id))[:count])
        return found

    def save(self, folder: epath.PathLike) -> None:
        """Write."""
        path = epath.Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        ids = sorted(self._slots)
        np.savez(path / "index.npz", ids=np.array(ids), vectors=self.vectors_of(ids))

    @classmethod
    def load(cls, folder: epath.PathLike) -> VectorIndex:
        """Read."""
        try:
            with np.load(epath.Path(folder) / "index.npz") as found:
                index = cls(found["vectors"].shape[1])
                index.upsert([str(one) for one in found["ids"]], found["vectors"])
                return index
        except Exception as error:
            raise InvalidInput(f"{folder} is damaged: {error}") from error
