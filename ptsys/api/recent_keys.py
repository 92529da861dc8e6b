"""Keys that the database knew a moment ago, so that not every request has to ask it."""

from __future__ import annotations

import time

from ptsys.store.keys import hash_secret
from ptsys.types.records import ApiKey

RECENT_SECONDS = 1.0
"""So long at most a key opens after it was revoked elsewhere."""

_MOST = 10_000


class RecentKeys:
    """Secrets by their hash, and whose they are; for use on one event loop."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, ApiKey]] = {}

    def get(self, secret: str) -> ApiKey | None:
        """Whose key this was within the last second, if that was asked."""
        until, key = self._known.get(hash_secret(secret), (0.0, None))
        return key if time.monotonic() < until else None

    def put(self, secret: str, key: ApiKey) -> None:
        """This key was found in the database now."""
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[hash_secret(secret)] = (time.monotonic() + RECENT_SECONDS, key)

    def clear(self) -> None:
        """A key was revoked here: forget all."""
        self._known.clear()
