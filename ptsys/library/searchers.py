"""The approximate searchers of an index: built in the background, kept up to date."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ptsys.library.approximate import FEWEST, ApproximateSearch
from ptsys.library.ranking import directed
from ptsys.library.readers_writer import ReadersWriter
from ptsys.library.rows import Rows
from ptsys.library.scann_loading import load_scann
from ptsys.types.metric import Metric

STALE = 0.3  # changed since it was built, as a share: then the tree no longer fits the vectors
_AT_ONCE = 128  # changes that a new searcher catches up with between two looks at the rows

_log = logging.getLogger(__name__)


class Searchers:
    """At most one searcher a metric. What reads holds the lock's reading side, `put` and
    `remove` its writing side; building takes the lock itself, briefly."""

    def __init__(self, rows: Rows, lock: ReadersWriter) -> None:
        self._rows = rows
        self._lock = lock
        self._ready: dict[Metric, ApproximateSearch] = {}
        self._changes: dict[Metric, int] = {}
        self._builds: dict[Metric, _Build] = {}
        self._failed: set[Metric] = set()
        self._starting = threading.Lock()

    def ready(self, metric: Metric) -> ApproximateSearch | None:
        """The searcher, or None while there is none. Starts building it where it is missing or
        stale; meanwhile the old one, if any, goes on."""
        found = self._ready.get(metric)
        if found is None or self._changes[metric] > STALE * len(found):
            self._start(metric)
        return found

    def wait(self, metric: Metric) -> None:
        """Until the build of this metric that is under way, if any, is over."""
        build = self._builds.get(metric)
        if build is not None:
            build.join()

    def put(self, slots: NDArray[np.int64]) -> None:
        """The rows of these slots are new or have changed."""
        self._change(
            slots, lambda one: one.put(slots, directed(self._rows.vectors[slots], one.metric))
        )

    def remove(self, slots: NDArray[np.int64]) -> None:
        """These slots were freed."""
        self._change(slots, lambda one: one.remove(slots))

    def _change(
        self, slots: NDArray[np.int64], change: Callable[[ApproximateSearch], None]
    ) -> None:
        for metric, searcher in list(self._ready.items()):
            try:
                change(searcher)
            except Exception:  # of ScaNN; half changed it is of no use
                _log.warning("the searcher by %s is built anew", metric, exc_info=True)
                del self._ready[metric]
            else:
                self._changes[metric] += len(slots)
        self._note(slots)

    def _note(self, slots: NDArray[np.int64]) -> None:
        for build in list(self._builds.values()):
            build.changed.update(slots.tolist())

    def _start(self, metric: Metric) -> None:
        with self._starting:
            if metric in self._builds or metric in self._failed or load_scann() is None:
                return
            if len(self._rows) < FEWEST:
                return
            build = _Build(metric, lambda: self._build(metric, build))
            self._builds[metric] = build
        build.start()

    def _build(self, metric: Metric, build: _Build) -> None:
        try:
            with self._lock.reading():  # from here on writers note what they change
                build.changed.clear()
                slots = self._rows.live()
                vectors = directed(self._rows.vectors[slots], metric)
            searcher = ApproximateSearch(slots, vectors, metric)
            del vectors
            while build.changed:
                with self._lock.reading():
                    self._catch_up(searcher, build.some(_AT_ONCE))
            with self._lock.writing():
                self._catch_up(searcher, build.some(len(build.changed)))
                self._ready[metric] = searcher
                self._changes[metric] = 0
                del self._builds[metric]
        except Exception:  # of ScaNN: it raises RuntimeError, and whatever its parts raise
            _log.warning(
                "no approximate search by %s: ScaNN could not build it; searches are exact",
                metric,
                exc_info=True,
            )
            self._failed.add(metric)
            self._builds.pop(metric, None)

    def _catch_up(self, searcher: ApproximateSearch, slots: NDArray[np.int64]) -> None:
        alive = self._rows.alive[slots]
        searcher.remove(slots[~alive])
        kept = slots[alive]
        if len(kept):
            searcher.put(kept, directed(self._rows.vectors[kept], searcher.metric))


class _Build(threading.Thread):
    """A build under way, and the slots that changed since it copied the rows."""

    def __init__(self, metric: Metric, work: Callable[[], None]) -> None:
        super().__init__(target=work, name=f"library-{metric}", daemon=True)
        self.changed: set[int] = set()

    def some(self, count: int) -> NDArray[np.int64]:
        """Take at most `count` of the changed slots."""
        return np.array(
            [self.changed.pop() for _ in range(min(count, len(self.changed)))], np.int64
        )
