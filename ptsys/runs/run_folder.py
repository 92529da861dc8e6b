"""A run's folder: one run at a time works in it, and leaves its summary there."""

from __future__ import annotations

import contextlib
import fcntl
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ptsys.errors import Conflict, InvalidInput

CHECKPOINTS = "checkpoints"


@contextlib.contextmanager
def alone_in(output: Path) -> Iterator[None]:
    """Make the folder, and keep a second run out of it. The lock ends with its process.

    Raises Conflict if another run works there, InvalidInput if it cannot be made.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
        lock = (output / "lock").open("w")
    except OSError as error:
        raise InvalidInput(
            f"{output} cannot be written ({error.strerror}); choose another place", field="output"
        ) from None
    with lock as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Conflict(
                f"another run works in {output}; wait for it, or give this one an output of its own"
            ) from None
        yield


def write_json(path: Path, value: Any) -> None:
    """The value in a file that appears whole or not at all."""
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(value, indent=1) + "\n")
    draft.replace(path)
