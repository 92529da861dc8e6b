"""Waiting in tests: for something to come true, and not for ever."""

import subprocess
import time
from collections.abc import Callable
from typing import Any


def until(
    condition: Callable[[], object], timeout: float, process: subprocess.Popen[Any] | None = None
) -> None:
    """Wait for it; an assertion fails when the time (seconds) is over, or when `process`, which
    is to bring it about, has ended."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert process is None or process.poll() is None, f"it ended with {process.returncode}"
        assert time.monotonic() < deadline, f"not within {timeout:g} s"
        time.sleep(0.02)
