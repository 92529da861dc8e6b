"""A child process: started, watched, started again, and never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

_FIRST_BACKOFF, _LAST_BACKOFF = 1.0, 60.0  # seconds
_STEADY_SECONDS = 60.0  # a process that lived so long failed for a reason of its own
_TAIL_BYTES = 4000


class ChildProcess:
    """One process, which ends by itself soon after this one has: its command understands
    `--with-parent`."""

    def __init__(
        self, name: str, command: Sequence[str], log: Path, environment: Mapping[str, str]
    ) -> None:
        """Nothing starts yet. `name` is what it is called in messages."""
        self.name = name
        self.log = log
        self._command = [*command, "--with-parent"]
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0.0
        self._backoff = _FIRST_BACKOFF
        self._restart_at: float | None = None

    @property
    def pid(self) -> int | None:
        """Its process, while there is one."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start it; what it prints goes to its log."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,  # Ctrl-C is for us, who then stop it in order
            )
        self._started = time.monotonic()
        self._restart_at = None

    def tend(self) -> str | None:
        """Start it again if it died, later each time; says what happened, if anything did."""
        now = time.monotonic()
        if self._restart_at is not None:
            if now < self._restart_at:
                return None
            self.start()
            return f"{self.name} is started again"
        code = self.exit_code()
        if code is None:
            return None
        if now - self._started > _STEADY_SECONDS:
            self._backoff = _FIRST_BACKOFF
        wait, self._backoff = self._backoff, min(2 * self._backoff, _LAST_BACKOFF)
        self._process, self._restart_at = None, now + wait
        return f"{self.name} {_death(code)}; it starts again in {wait:.0f} s. {self.last_words()}"

    def exit_code(self) -> int | None:
        """How it ended; None while it runs, or was not started."""
        return None if self._process is None else self._process.poll()

    def terminate(self) -> None:
        """Ask it to drain."""
        self._restart_at = None
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def wait(self, timeout: float) -> bool:
        """Whether it ended within so many seconds; if not, it is killed: its jobs resume from
        their checkpoints."""
        process, self._process = self._process, None
        if process is None:
            return True
        try:
            process.wait(timeout=max(timeout, 0.1))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return False
        return True

    def last_words(self) -> str:
        """The last line of its log, and where that is."""
        try:
            with self.log.open("rb") as log:
                log.seek(-min(_TAIL_BYTES, self.log.stat().st_size), os.SEEK_END)
                lines = [line for line in log.read().decode(errors="replace").splitlines() if line]
        except OSError:
            lines = []
        return f"Its log, {self.log}, ends: {lines[-1]}" if lines else f"Its log is {self.log}"


def _death(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    return f"was ended by {signal.Signals(-code).name}"
