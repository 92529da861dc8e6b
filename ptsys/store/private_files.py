"""What a process of the service writes can be read by its user alone."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

_OTHERS = 0o077
_usual = 0o022


def keep_private() -> None:
    """From now on this process, and those it starts, write for their user alone. Called once, when
    a process begins."""
    global _usual
    before = os.umask(_OTHERS)
    if before != _OTHERS:
        _usual = before


@contextlib.contextmanager
def as_usual() -> Iterator[None]:
    """Within the block files are as the user's shell would make them: for results that go where the
    user said. Of no use beside other threads that write."""
    before = os.umask(0o777)
    os.umask(_usual if before == _OTHERS else before)
    try:
        yield
    finally:
        os.umask(before)
