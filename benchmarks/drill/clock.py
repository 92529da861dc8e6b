"""The injected clock: what a process believes the time to be, moved from outside while it runs."""

from __future__ import annotations

import datetime
import mmap
import struct
from pathlib import Path

_DOUBLE = struct.Struct("<d")


class ClockFile:
    """Seconds that a process's clock is ahead, in a file that it and the drill have mapped."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(_DOUBLE.pack(0.0))
        with path.open("r+b") as file:
            self._bytes = mmap.mmap(file.fileno(), _DOUBLE.size)

    @property
    def ahead(self) -> float:
        """Seconds; negative is behind."""
        return float(_DOUBLE.unpack_from(self._bytes)[0])

    @ahead.setter
    def ahead(self, seconds: float) -> None:
        _DOUBLE.pack_into(self._bytes, 0, seconds)


class InjectedClock:
    """`utc_now` from now on: the true time until a file is named.

    Make it before anything else of ptsys is imported, as others take the function by name.
    """

    def __init__(self) -> None:
        from ptsys.store import clock

        self._file: ClockFile | None = None
        clock.utc_now = self.now

    def follow(self, path: Path) -> None:
        """Move with that file."""
        self._file = ClockFile(path)

    def now(self) -> datetime.datetime:
        """The time as this process believes it."""
        moment = datetime.datetime.now(datetime.UTC)
        return (
            moment if self._file is None else moment + datetime.timedelta(seconds=self._file.ahead)
        )
