"""Many readers at a time, or one writer."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator


class ReadersWriter:
    """A lock for many readers or one writer; a waiting writer goes before new readers.

    Reading within reading in the same thread is allowed, so a caller may keep writers out for a
    while and call what reads meanwhile. Writing within reading waits for ever: never do it.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._readers = 0
        self._writers_waiting = 0
        self._written = False
        self._mine = threading.local()

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """No writer while the block runs."""
        depth = getattr(self._mine, "depth", 0)
        if depth == 0:
            with self._changed:
                while self._written or self._writers_waiting:
                    self._changed.wait()
                self._readers += 1
        self._mine.depth = depth + 1
        try:
            yield
        finally:
            self._mine.depth = depth
            if depth == 0:
                with self._changed:
                    self._readers -= 1
                    if self._readers == 0:
                        self._changed.notify_all()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Nobody else while the block runs."""
        with self._changed:
            self._writers_waiting += 1
            try:
                while self._written or self._readers:
                    self._changed.wait()
                self._written = True
            finally:
                self._writers_waiting -= 1
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._written = False
                self._changed.notify_all()
