"""Signals that ask a command to end, as exceptions, so that everything is put away."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class Terminated(KeyboardInterrupt):
    """The process was asked to end."""


def heed_interrupts() -> None:
    """Let SIGINT raise KeyboardInterrupt even if this process was started with it ignored, as
    shells do for what a script starts with `&`: whoever sends it by hand means it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextlib.contextmanager
def termination_raises() -> Iterator[None]:
    """Raise Terminated in the main thread when SIGTERM or SIGHUP comes. A second one, or a
    second Ctrl-C, while things are put away, ends that too. A SIGHUP that is ignored, by `nohup`,
    stays so."""

    def terminate(number: int, frame: FrameType | None) -> None:
        raise Terminated

    heeded = [number for number in _SIGNALS if not _nohup(number)]
    before = [(number, signal.signal(number, terminate)) for number in heeded]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def _nohup(number: signal.Signals) -> bool:
    return number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN
