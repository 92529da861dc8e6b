"""Whether a worker has had nothing to do for so long that it may go."""

from __future__ import annotations

from collections.abc import Mapping


class Idleness:
    """Watches what a worker holds and has done."""

    def __init__(self, limit: float | None) -> None:
        """`limit` in seconds; None is never."""
        self.limit = limit or 0.0
        self._seen: Mapping[str, int] = {}
        self._since: float | None = None

    def over(self, jobs: int, work: Mapping[str, int], now: float) -> bool:
        """Whether since `limit` no job was held and no step done; to be asked now and then."""
        if self._since is None or jobs or work != self._seen:
            self._seen, self._since = dict(work), now
        return self.limit > 0 and now - self._since >= self.limit
