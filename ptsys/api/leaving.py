"""How an API process ends: it says so, goes on serving while balancers turn away, and finishes what
it began."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType

import uvicorn

from ptsys.process.supervisor import tell, watchdog_seconds


class LeavingServer(uvicorn.Server):
    """uvicorn, which at SIGTERM sets `leaving` and stops listening `leave_seconds` later.

    A second signal, or Ctrl-C, ends it as uvicorn ends. systemd hears when it listens, lives and
    leaves.
    """

    def __init__(
        self, config: uvicorn.Config, leaving: threading.Event, leave_seconds: float
    ) -> None:
        super().__init__(config)
        self._leaving = leaving
        self._leave_seconds = leave_seconds
        self._leave_at: float | None = None
        self._pulse = watchdog_seconds()
        self._pulsed = 0.0

    async def startup(self, *arguments: object, **options: object) -> None:
        """Listen, and say so."""
        await super().startup(*arguments, **options)  # type: ignore[arg-type]
        tell(ready=1, status="serving")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal came."""
        if sig == signal.SIGTERM and self._leave_seconds and self._leave_at is None:
            self._captured_signals.append(sig)
            self.leave()
            return
        self._leaving.set()
        super().handle_exit(sig, frame)

    def leave(self) -> None:
        """Begin to end."""
        self._leaving.set()
        self._leave_at = time.monotonic() + self._leave_seconds

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: whether to stop listening."""
        now = time.monotonic()
        if self._pulse is not None and now - self._pulsed >= self._pulse:
            self._pulsed = now
            tell(watchdog=1)
        if self._leave_at is not None and now >= self._leave_at:
            self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, *arguments: object, **options: object) -> None:
        """Stop listening and finish."""
        self._leaving.set()
        tell(stopping=1, status="finishing what was begun")
        await super().shutdown(*arguments, **options)  # type: ignore[arg-type]
