"""What workers compile, told to whoever waits for them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from ptsys.cli.output import note
from ptsys.errors import Unavailable

if TYPE_CHECKING:
    from ptsys.config import Settings

_LOOK_SECONDS = 1.0
_WORTH_SECONDS = 1.0  # what is read from the cache is there before


@contextlib.contextmanager
def compile_notes(settings: Settings, models: Collection[str]) -> Iterator[None]:
    """Say what workers of these models compile while the block runs, each shape once."""
    ended = threading.Event()
    looking = threading.Thread(
        target=_look, args=(settings, models, ended), name="compile notes", daemon=True
    )
    looking.start()
    try:
        yield
    finally:
        ended.set()
        looking.join()


def _look(settings: Settings, models: Collection[str], ended: threading.Event) -> None:
    from ptsys.jobs.presence import workers
    from ptsys.jobs.redis_server import locate

    told: set[tuple[str, str]] = set()
    while not ended.wait(_LOOK_SECONDS):
        try:
            present = workers(locate(settings))
        except Unavailable:
            continue  # the command itself says so
        for worker in present:
            for one in worker.compiles if worker.model in models else ():
                key = (worker.worker, one.what)
                if key not in told and one.seconds >= _WORTH_SECONDS:
                    told.add(key)
                    note(f"the worker is {one.text}")
