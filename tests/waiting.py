"""Waiting in tests: for something to come true, and not for ever."""

import time
from collections.abc import Callable


def until(condition: Callable[[], object], timeout: float) -> None:
    """Wait for it; an assertion fails when the time (seconds) is over."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout:g} s"
        time.sleep(0.02)
