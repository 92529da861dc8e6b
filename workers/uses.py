"""How often stored prompts were asked: counted here, written now and then."""

from __future__ import annotations

import collections
import logging
import threading
from collections.abc import Iterable

from ptsys.errors import PtsysError
from ptsys.store.prompts import Prompts

logger = logging.getLogger(__name__)


class Uses:
    """Counts that are not written yet. Safe to share between threads; a killed worker loses those
    of the last seconds."""

    def __init__(self) -> None:
        self._counts: collections.Counter[str] = collections.Counter()
        self._lock = threading.Lock()

    def add(self, prompts: Iterable[str]) -> None:
        """Each of these prompts answered a request."""
        with self._lock:
            self._counts.update(prompts)

    def flush(self, prompts: Prompts) -> None:
        """Write what was counted; what cannot be written is kept for the next time."""
        with self._lock:
            counts, self._counts = self._counts, collections.Counter()
        try:
            prompts.count_uses(counts)
        except PtsysError as error:
            logger.warning("uses of prompts were not written: %s", error)
            with self._lock:
                self._counts.update(counts)
