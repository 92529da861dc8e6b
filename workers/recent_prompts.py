"""Prompts that were written not long ago, by what they were written from: who asks again with the
same examples is answered in one pass.

The key is content alone, so it tells nobody more than they brought: whether somebody may use the
meta-prompt is asked before, every time.
"""

from __future__ import annotations

import collections
import hashlib
import json
import threading
import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ptsys.kinds.trees import Tree
from ptsys.types.requests import Aggregate, TaskExample

MOST_BYTES = 32 * 2**20
"""Of all prompts together; those that were used longest ago go first."""
SECONDS = 600.0
"""A prompt is forgotten so long after it was written."""


def meta_digest(meta: Tree) -> bytes:
    """That of a meta-prompt's arrays."""
    digest = hashlib.sha256()
    for name in sorted(meta):
        digest.update(f"\0{name} {meta[name].shape}\0".encode())
        digest.update(np.ascontiguousarray(meta[name]).data)
    return digest.digest()


def content(
    meta: bytes, examples: Sequence[TaskExample], description: str | None, aggregate: Aggregate
) -> bytes:
    """A digest of all that a frozen model writes a prompt from; `meta` is the meta-prompt's."""
    told = json.dumps([aggregate, description, *((one.input, one.target) for one in examples)])
    return hashlib.sha256(meta + told.encode()).digest()


class RecentPrompts:
    """Prompts of one frozen model by such digests. Safe for use by many threads."""

    def __init__(
        self,
        most_bytes: int = MOST_BYTES,
        seconds: float = SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most, self._seconds, self._clock = most_bytes, seconds, clock
        self._lock = threading.Lock()
        self._bytes = 0
        self._kept: collections.OrderedDict[bytes, tuple[float, NDArray[np.float32]]]
        self._kept = collections.OrderedDict()  # the one used last is the last

    def get(self, key: bytes) -> NDArray[np.float32] | None:
        """The prompt, if it was written not too long ago."""
        with self._lock:
            written, prompt = self._kept.get(key, (0.0, None))
            if prompt is None:
                return None
            if self._clock() - written > self._seconds:
                self._forget(key)
                return None
            self._kept.move_to_end(key)
            return prompt

    def keep(self, key: bytes, prompt: NDArray[np.float32]) -> None:
        """Keep a prompt that was just written, as long as there is room."""
        if prompt.nbytes > self._most:
            return
        with self._lock:
            if key in self._kept:
                self._forget(key)
            now = self._clock()
            for old in [x for x, (at, _) in self._kept.items() if now - at > self._seconds]:
                self._forget(old)
            self._kept[key] = (now, prompt)
            self._bytes += prompt.nbytes
            while self._bytes > self._most:
                self._forget(next(iter(self._kept)))

    def _forget(self, key: bytes) -> None:
        _, prompt = self._kept.pop(key)
        self._bytes -= prompt.nbytes
