"""`ptsys bench search`: how fast the index is, and how often it is right.

Exact and approximate searches of the same queries are timed in one process with the same
threads, in turn, and the best of the turns counts for each: other programs can only slow a turn.
"""

from __future__ import annotations

import dataclasses
import gc
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ptsys.benches.clustered_vectors import clustered_vectors
from ptsys.errors import Unavailable
from ptsys.library.index import VectorIndex
from ptsys.library.ranking import Hit
from ptsys.sharding.host_memory import allocated
from ptsys.types.metric import Metric

QUERIES = 1000
COUNT = 10
ALONE = 100  # queries that are timed one at a time
TURNS = 3
CHANGED = 0.1  # of the vectors, half upserted and half deleted
SEEN = 0.01  # of the vectors, by a user who sees little
_NEVER = 1 << 62

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class SearchResult:
    """One size and metric; `_qps` are queries a second, recalls are of 10 hits."""

    vectors: int
    dimension: int
    metric: Metric
    build_seconds: float
    memory_mb: float | None
    """MiB of the searcher; None where the C library does not tell."""
    exact_qps: float
    approximate_qps: float
    exact_alone_qps: float
    approximate_alone_qps: float
    recall: float
    restricted_qps: float
    restricted_alone_qps: float
    restricted_recall: float
    restricted_hits: int
    """The fewest hits that a user who may see 1 % got for a query."""
    upserts_per_second: float
    changed_recall: float
    """After a tenth was changed in place."""

    @property
    def ratio(self) -> float:
        """Approximate by exact, a thousand queries together."""
        return self.approximate_qps / self.exact_qps

    @property
    def alone_ratio(self) -> float:
        """Approximate by exact, one query at a time."""
        return self.approximate_alone_qps / self.exact_alone_qps


def measure(
    sizes: Sequence[int], dimension: int, metrics: Sequence[Metric], say: Say
) -> Iterator[SearchResult]:
    """Every size with every metric, each on a fresh index. `say` hears what is being done."""
    for size in sizes:
        for metric in metrics:
            yield _Bench(size, dimension, metric, say).result()
            gc.collect()


class _Bench:
    """One size and metric."""

    def __init__(self, size: int, dimension: int, metric: Metric, say: Say) -> None:
        self.size, self.metric = size, metric
        self._told = say
        self._say("drawing vectors")
        drawn = clustered_vectors(size + size // 20 + QUERIES, dimension)
        self.queries, self.new = (
            drawn[:QUERIES].copy(),
            drawn[QUERIES : QUERIES + size // 20].copy(),
        )
        self.index = VectorIndex(dimension, exact_below=_NEVER)
        self.index.upsert([f"p{i:08d}" for i in range(size)], drawn[-size:])

    def _say(self, text: str) -> None:
        self._told(f"{self.size:,} vectors, {self.metric}: {text}")

    def result(self) -> SearchResult:
        """Measure everything. Raises Unavailable where ScaNN cannot be had."""
        self._say("exact search")
        right = self._exactly(self.queries)
        before, since = allocated(), time.perf_counter()
        self._say("building the searcher")
        self.index.exact_below = 0
        if not self.index.prepare(self.metric):
            raise Unavailable("ScaNN does not run here; see the warning above")
        build, after = time.perf_counter() - since, allocated()
        grown = None if before is None or after is None else (after - before) / 2**20
        self._say("searching")
        together, alone = self._speeds()
        recall = _recall(self.index.search(self.queries, COUNT, self.metric), right)
        seen = self._restricted()
        self._say("changing a tenth")
        return SearchResult(
            self.size,
            self.index.dimension,
            self.metric,
            build,
            grown,
            *together,
            *alone,
            recall,
            seen[0],
            seen[1],
            seen[2],
            seen[3],
            *self._changed(),
        )

    def _speeds(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """(exact, approximate) queries a second, together and alone."""
        together, alone = [], []
        some = self.queries[:ALONE]
        for _ in range(TURNS):
            together.append(
                (
                    _rate(lambda: self._exactly(self.queries[:256]), 256),
                    _rate(lambda: self._search(self.queries), QUERIES),
                )
            )
            alone.append(
                (
                    _rate(lambda: [self._exactly(query[None]) for query in some[:20]], 20),
                    _rate(lambda: [self._search(query[None]) for query in some], ALONE),
                )
            )
        return _best(together), _best(alone)

    def _restricted(self) -> tuple[float, float, float, int]:
        """Queries a second together and alone, recall and fewest hits, where 1 % may be seen."""
        self._say("a user who sees 1 %")
        allowed = np.random.default_rng(1).random(self.index.capacity) < SEEN
        found = self._search(self.queries, allowed)
        recall = _recall(found, self._exactly(self.queries, allowed))
        some = self.queries[:ALONE]
        return (
            max(_rate(lambda: self._search(self.queries, allowed), QUERIES) for _ in range(TURNS)),
            max(
                _rate(lambda: [self._search(query[None], allowed) for query in some], ALONE)
                for _ in range(TURNS)
            ),
            recall,
            min(map(len, found)),
        )

    def _changed(self) -> tuple[float, float]:
        """Upserts a second, and recall after a twentieth was upserted and as much deleted."""
        half = len(self.new)
        known = [f"p{i:08d}" for i in range(half // 2)]
        ids = known + [f"new{i}" for i in range(half - len(known))]
        speed = _rate(lambda: self.index.upsert(ids, self.new), half)
        self.index.delete([f"p{i:08d}" for i in range(self.size - half, self.size)])
        return speed, _recall(self._search(self.queries), self._exactly(self.queries))

    def _search(
        self, queries: NDArray[np.float32], allowed: NDArray[np.bool_] | None = None
    ) -> list[list[Hit]]:
        return self.index.search(queries, COUNT, self.metric, allowed=allowed)

    def _exactly(
        self, queries: NDArray[np.float32], allowed: NDArray[np.bool_] | None = None
    ) -> list[list[Hit]]:
        below, self.index.exact_below = self.index.exact_below, _NEVER
        try:
            return self._search(queries, allowed)
        finally:
            self.index.exact_below = below


def _rate(work: Callable[[], object], queries: int) -> float:
    since = time.perf_counter()
    work()
    return queries / (time.perf_counter() - since)


def _best(turns: Sequence[tuple[float, float]]) -> tuple[float, float]:
    exact, approximate = zip(*turns, strict=True)
    return max(exact), max(approximate)


def _recall(found: Sequence[Sequence[Hit]], right: Sequence[Sequence[Hit]]) -> float:
    """The share of the right hits that were found."""
    shared = (
        len({hit.id for hit in some} & {hit.id for hit in best})
        for some, best in zip(found, right, strict=True)
    )
    return sum(shared) / max(sum(map(len, right)), 1)
