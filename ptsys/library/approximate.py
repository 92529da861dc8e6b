"""Approximate search: ScaNN's tree, anisotropic hashing and exact reordering.

R. Guo et al., «Accelerating Large-Scale Inference with Anisotropic Vector Quantization», 2020.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptsys.errors import Unavailable
from ptsys.library.scann_loading import load_scann
from ptsys.types.metric import Metric

FEWEST = 256  # vectors that a tree with hashing can be trained on


@dataclasses.dataclass(frozen=True)
class Tuning:
    """How thoroughly a searcher looks; chosen by `ptsys bench search` (docs/library_search.md)."""

    leaves: int
    leaves_to_search: int
    reorder: int
    dimensions_per_block: int


_LOOKED_INTO: dict[Metric, float] = {"cosine": 1.0, "l2": 0.7, "dot": 0.8}  # by √leaves
_REORDERED: dict[Metric, int] = {"cosine": 350, "l2": 300, "dot": 200}
_ALONG = 4.0  # how much more a leaf's centre minds error along its vectors than across (AVQ)
_THRESHOLD = 0.2  # the same for hashes, as ScaNN's paper sets it for inner products


def tuning(count: int, dimension: int, metric: Metric) -> Tuning:
    """For `count` vectors; aims at a recall@10 of 0.95 on clustered data at a million."""
    leaves = max(round(2 * math.sqrt(count)), 8)
    to_search = max(round(_LOOKED_INTO[metric] * math.sqrt(leaves)), 8)
    # Distances are hashed without the leaf's centre taken off first, so they need finer hashes.
    finest = 1 if metric == "l2" else 2
    block = min(max(finest, min(dimension // 256, 8)), dimension)
    return Tuning(leaves, min(to_search, leaves), _REORDERED[metric], block)


class ApproximateSearch:
    """A ScaNN searcher of one metric over vectors known by their slots. Many may search at a
    time; who changes it must be alone: ScaNN itself guards nothing.

    ScaNN numbers its vectors 0, 1, …; when one is deleted the last takes its number. `_slot_at`
    and `_number_of` follow that. Spilling (SOAR) would search a little faster, but ScaNN 1.4.2
    crashes when a searcher that spills is changed.
    """

    def __init__(
        self, slots: NDArray[np.int64], vectors: NDArray[np.float32], metric: Metric
    ) -> None:
        """Build over directed vectors `[N, D]`; takes seconds to minutes.

        Raises Unavailable where ScaNN cannot be had.
        """
        self.metric: Metric = metric
        self.tuning = tuning(len(slots), vectors.shape[1], metric)
        self._slot_at = slots.astype(np.int64)
        self._number_of = np.full(int(slots.max(initial=0)) + 1, -1, np.int64)
        self._number_of[slots] = np.arange(len(slots))
        self._count = len(slots)
        self._core = _build(vectors, metric, self.tuning)

    def __len__(self) -> int:
        return self._count

    def put(self, slots: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """Set directed vectors, of slots known or new."""
        self._reserve(slots)
        numbers = self._number_of[slots]
        new = slots[numbers < 0]
        self._slot_at[self._count : self._count + len(new)] = new
        asked = [None if number < 0 else number for number in numbers.tolist()]
        given = self._core.upsert(asked, list(vectors), max(len(asked), 1))
        self._number_of[slots] = given
        self._count += len(new)

    def remove(self, slots: NDArray[np.int64]) -> None:
        """Forget slots; those unknown are ignored."""
        for slot in slots[slots < len(self._number_of)].tolist():
            number = int(self._number_of[slot])
            if number < 0:
                continue
            self._core.delete([number])
            self._count -= 1
            last = self._slot_at[self._count]
            self._slot_at[number] = last
            self._number_of[last] = number
            self._number_of[slot] = -1

    def search(
        self, queries: NDArray[np.float32], want: int, thorough: float = 1.0
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Slots and scores `[Q, want]` of directed queries, best first; slot -1 where there are
        fewer. `thorough` multiplies how many leaves are looked into.

        The scores are up to rounding those of `ranking.scores`.
        """
        want = min(want, self._count)
        leaves = min(math.ceil(self.tuning.leaves_to_search * thorough), self.tuning.leaves)
        reorder = min(max(self.tuning.reorder, 3 * want), self._count)
        if len(queries) == 1:
            numbers, distances = self._core.search(queries[0], want, reorder, leaves)
            numbers, distances = numbers[None], distances[None]
        else:
            # ScaNN hands each thread so many queries at a time
            each = max(min(256, len(queries) // 8), 1)
            numbers, distances = self._core.search_batched(
                queries, want, reorder, leaves, True, each
            )
        found = np.isfinite(distances)  # where a query found fewer, ScaNN fills with NaN
        slots = np.where(found, self._slot_at[np.where(found, numbers, 0)], -1)
        return slots, -distances if self.metric == "l2" else distances

    def _reserve(self, slots: NDArray[np.int64]) -> None:
        more = int(slots.max(initial=-1)) + 1 - len(self._number_of)
        if more > 0:
            more = max(more, len(self._number_of) // 2)
            self._number_of = np.concatenate([self._number_of, np.full(more, -1, np.int64)])
        more = self._count + len(slots) - len(self._slot_at)
        if more > 0:
            more = max(more, len(self._slot_at) // 2)
            self._slot_at = np.concatenate([self._slot_at, np.full(more, -1, np.int64)])


def _build(vectors: NDArray[np.float32], metric: Metric, chosen: Tuning) -> Any:
    scann = load_scann()
    if scann is None:
        raise Unavailable("ScaNN does not run on this machine")
    distances = metric == "l2"
    builder = scann.builder(vectors, 10, "squared_l2" if distances else "dot_product").tree(
        num_leaves=chosen.leaves,
        num_leaves_to_search=chosen.leaves_to_search,
        training_sample_size=min(len(vectors), 50 * chosen.leaves),
        training_iterations=10,
        avq=None if distances else _ALONG,
    )
    builder = builder.score_ah(
        chosen.dimensions_per_block,
        anisotropic_quantization_threshold=float("nan") if distances else _THRESHOLD,
    )
    return builder.reorder(chosen.reorder).build().searcher
