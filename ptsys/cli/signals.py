"""SIGTERM and SIGHUP as Ctrl-C is: an exception, so that everything is put away."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class Terminated(KeyboardInterrupt):
    """The process was asked to end."""


@contextlib.contextmanager
def termination_raises() -> Iterator[None]:
    """Raise Terminated in the main thread when one of the signals comes. A second one, or a
    second Ctrl-C, while things are put away, ends that too."""

    def terminate(number: int, frame: FrameType | None) -> None:
        raise Terminated

    before = [(number, signal.signal(number, terminate)) for number in _SIGNALS]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)
