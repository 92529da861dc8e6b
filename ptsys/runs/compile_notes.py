"""What a run in place compiles, told to whoever waits for it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from rich.console import Console

from ptsys.engine.engine import Engine

_LOOK_SECONDS = 0.5
_WORTH_SECONDS = 1.0  # what is read from the cache is there before


@contextlib.contextmanager
def compile_notes(engine: Engine) -> Iterator[None]:
    """Say on stderr what the engine compiles while the block runs, each shape once."""
    console = Console(stderr=True, highlight=False)
    ended = threading.Event()
    told: set[str] = set()

    def look() -> None:
        while not ended.wait(_LOOK_SECONDS):
            for one in engine.shapes.now():
                if one.seconds >= _WORTH_SECONDS and one.what not in told:
                    told.add(one.what)
                    console.print(one.text, markup=False, soft_wrap=True)

    looking = threading.Thread(target=look, name="compile notes", daemon=True)
    looking.start()
    try:
        yield
    finally:
        ended.set()
        looking.join()
