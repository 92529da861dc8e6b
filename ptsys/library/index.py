"""The index of prompt vectors: exact below some thousands, ScaNN above."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import get_args

import numpy as np
from etils import epath
from numpy.typing import NDArray

from ptsys.errors import InvalidInput, NotFound
from ptsys.library import exact, index_files
from ptsys.library.approximate import ApproximateSearch
from ptsys.library.ranking import Hit, directed, ranked
from ptsys.library.readers_writer import ReadersWriter
from ptsys.library.rows import Rows, checked
from ptsys.library.searchers import Searchers
from ptsys.types.metric import Metric

VISIBLE_EXACT = 20_000  # who sees no more is searched exactly: as fast, and nothing is missed
SEEN_EXACT = 0.02  # a search that would fetch more than this share is done exactly
_SPARE = 8  # fetched beyond what is asked, to see that nothing equal is left out
_WRITTEN_AT_ONCE = 128  # vectors written before waiting searches get their turn


class VectorIndex:
    """Prompt vectors of one frozen model's fingerprint and one vector kind.

    Thread-safe: searches run beside each other; a write waits for those under way and lets
    others in between every few vectors, so a search sees all of a vector or nothing, but may see
    some ids of an `upsert` before the others.

    From `exact_below` vectors on, the first search by a metric starts to build that metric's
    ScaNN searcher in the background and is itself exact, as are others until it is ready. Then
    upserts and deletes change the searcher in place; when a large share has changed it is built
    anew beside the old one.
    """

    def __init__(self, dimension: int, *, exact_below: int = 5000) -> None:
        if dimension < 1:
            raise InvalidInput("dimension must be 1 or more", field="dimension")
        self.exact_below = exact_below
        self._assemble(Rows(dimension))

    def _assemble(self, rows: Rows) -> None:
        self._rows = rows
        self._lock = ReadersWriter()
        self._one_writer = threading.Lock()
        self._searchers = Searchers(rows, self._lock)

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return self._rows.dimension

    @property
    def capacity(self) -> int:
        """How many slots there are; arrays aligned by slot have this length. It only grows."""
        return self._rows.capacity

    def steady(self) -> AbstractContextManager[None]:
        """No write while the block runs, so that a mask made in it fits the searches in it: a
        slot freed meanwhile could pass to an id that the mask was not made for. Do not write in
        the block."""
        return self._lock.reading()

    def slots(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """The slot of each id, -1 where it is unknown."""
        with self._lock.reading():
            return self._rows.slots(ids)

    def id_at(self, slot: int) -> str | None:
        """Whose slot it is; None where it is free."""
        with self._lock.reading():
            return self._rows.ids[slot] if 0 <= slot < self._rows.used else None

    def vectors_of(self, ids: Sequence[str]) -> NDArray[np.float32]:
        """Copies of vectors `[N, D]`. Raises NotFound where an id is unknown."""
        with self._lock.reading():
            slots = self._rows.slots(ids)
            if np.any(slots < 0):
                raise NotFound(f"{ids[int(np.argmin(slots))]} is not in the index")
            return self._rows.vectors[slots]

    def upsert(self, ids: Sequence[str], vectors: NDArray[np.float32]) -> NDArray[np.int64]:
        """Set the vectors `[N, D]` of ids, known or new; returns their slots.

        A slot is an id's until it is deleted. Raises InvalidInput, and changes nothing, where a
        vector is not finite, has another length, or an id comes twice.
        """
        vectors = checked(vectors, self.dimension, "vectors")
        ids = list(ids)
        if len(ids) != len(vectors):
            raise InvalidInput(
                f"{len(ids)} ids and {len(vectors)} vectors; give one each", field="ids"
            )
        if len(set(ids)) != len(ids):
            raise InvalidInput("an id comes twice; give each once", field="ids")
        slots = [np.empty(0, np.int64)]
        with self._one_writer:
            for start in range(0, len(ids), _WRITTEN_AT_ONCE):
                part = slice(start, start + _WRITTEN_AT_ONCE)
                with self._lock.writing():
                    slots.append(self._rows.put(ids[part], vectors[part]))
                    self._searchers.put(slots[-1])
        return np.concatenate(slots)

    def delete(self, ids: Sequence[str]) -> None:
        """Forget ids; those unknown are ignored."""
        with self._one_writer, self._lock.writing():
            self._searchers.remove(self._rows.remove(ids))

    def prepare(self, metric: Metric) -> bool:
        """Build the approximate searcher if there are vectors enough, and wait for it. Returns
        whether searches by this metric are approximate now."""
        with self._lock.reading():
            self._searcher(_known(metric))
        self._searchers.wait(metric)
        with self._lock.reading():
            return self._searcher(metric) is not None

    def search(
        self,
        queries: NDArray[np.float32],
        count: int,
        metric: Metric = "cosine",
        *,
        allowed: NDArray[np.bool_] | None = None,
    ) -> list[list[Hit]]:
        """The `count` vectors most like each query `[Q, D]`, best first, equal ones by id.

        `allowed` marks slots that may be returned; others never are, and a slot beyond its end
        is not allowed. Fewer hits come only where fewer ids are allowed. Raises InvalidInput.
        """
        queries = directed(checked(queries, self.dimension, "queries"), _known(metric))
        if count < 1:
            raise InvalidInput("count must be 1 or more", field="count")
        with self._lock.reading():
            visible = self._visible(allowed)
            seen = int(np.count_nonzero(visible))
            searcher = self._searcher(metric)
            count = min(count, seen)
            if searcher is None or seen <= (0 if allowed is None else VISIBLE_EXACT):
                return exact.search(self._rows, queries, count, metric, visible)
            return self._widening(searcher, queries, count, visible, seen)

    def _visible(self, allowed: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
        used = self._rows.used
        if allowed is None:
            return self._rows.alive[:used]
        if allowed.ndim != 1 or allowed.dtype != np.bool_ or len(allowed) > self.capacity:
            raise InvalidInput(
                f"allowed must be a boolean for each of {self.capacity} slots", field="allowed"
            )
        visible = np.zeros(used, np.bool_)
        known = min(used, len(allowed))
        np.logical_and(self._rows.alive[:known], allowed[:known], out=visible[:known])
        return visible

    def _searcher(self, metric: Metric) -> ApproximateSearch | None:
        return self._searchers.ready(metric) if len(self) >= self.exact_below else None

    def _widening(
        self,
        searcher: ApproximateSearch,
        queries: NDArray[np.float32],
        count: int,
        visible: NDArray[np.bool_],
        seen: int,
    ) -> list[list[Hit]]:
        """Fetch more until `count` visible hits are found, and something worse than them."""
        results: list[list[Hit]] = [[] for _ in queries]
        left = np.arange(len(queries))
        share = seen / len(searcher)
        want = int((count + _SPARE) / share)
        thorough = 1.0 if share > 0.999 and count <= 10 else (want / 10) ** 0.5
        while len(left) and want <= max(SEEN_EXACT * len(searcher), 4 * _SPARE):
            slots, scores = searcher.search(queries[left], want, thorough)
            good = slots >= 0
            good[good] = visible[slots[good]]
            enough = _enough(good, scores, count)
            done, good, slots = left[enough], good[enough], slots[enough]
            which, places = np.nonzero(good)
            found = slots[which, places]
            hits = ranked(self._rows, queries[done], which, found, searcher.metric, count)
            for query, some in zip(done.tolist(), hits, strict=True):
                results[query] = some
            left = left[~enough]
            want, thorough = want * 4, thorough * 2
        if len(left):
            hits = exact.search(self._rows, queries[left], count, searcher.metric, visible)
            for query, some in zip(left.tolist(), hits, strict=True):
                results[query] = some
        return results

    def save(self, folder: epath.PathLike) -> None:
        """Write the vectors, ids and slots: whole or not at all, over what was there. The
        searchers are built anew after loading."""
        with self._lock.reading():
            saved = index_files.Saved.of(self._rows)
        saved.write(epath.Path(folder))

    @classmethod
    def load(cls, folder: epath.PathLike, *, exact_below: int = 5000) -> VectorIndex:
        """Read what `save` wrote. Raises InvalidInput where there is no such index or it is
        damaged: then build it anew from the prompts."""
        rows = index_files.Saved.read(epath.Path(folder)).rows()
        index = cls(rows.dimension, exact_below=exact_below)
        index._assemble(rows)
        return index


def _enough(good: NDArray[np.bool_], scores: NDArray[np.float32], count: int) -> NDArray[np.bool_]:
    """Which queries have `count` good candidates that are better than the last one fetched."""
    if scores.shape[1] == 0:
        return np.zeros(len(good), np.bool_)
    ranks = np.cumsum(good, axis=1)
    enough = ranks[:, -1] >= count
    last = scores[:, -1]
    at = np.argmax(ranks >= count, axis=1)
    kept = np.take_along_axis(scores, at[:, None], axis=1)[:, 0]
    return np.asarray(enough & ~(kept <= last), np.bool_)


def _known(metric: Metric) -> Metric:
    if metric not in get_args(Metric):
        raise InvalidInput(
            f"{metric!r} is no metric; use {', '.join(get_args(Metric))}", field="metric"
        )
    return metric
