"""What workers compile, told to whoever waits for them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from ptsys.cli.output import note
from ptsys.errors import PtsysError

if TYPE_CHECKING:
    from ptsys.client import Client

_LOOK_SECONDS = 1.0
_WORTH_SECONDS = 1.0  # what is read from the cache is there before


@contextlib.contextmanager
def compile_notes(client: Client, models: Collection[str]) -> Iterator[None]:
    """Say what workers of these models compile while the block runs, each shape once."""
    ended = threading.Event()
    looking = threading.Thread(
        target=_look, args=(client, models, ended), name="compile notes", daemon=True
    )
    looking.start()
    try:
        yield
    finally:
        ended.set()
        looking.join(_LOOK_SECONDS)


def _look(client: Client, models: Collection[str], ended: threading.Event) -> None:
    told: set[tuple[str, str]] = set()
    while not ended.wait(_LOOK_SECONDS):
        for model in models:
            try:
                compiles = client.models.get(model).compiles
            except PtsysError:
                continue  # the command itself says so
            for one in compiles:
                key = (model, one.what)
                if key not in told and one.seconds >= _WORTH_SECONDS and not ended.is_set():
                    told.add(key)
                    note(f"the worker is {one.text}")
