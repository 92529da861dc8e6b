"""Where gin files are looked for: the working directory, given folders, and this repository."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from gin import config

from ptsys.errors import InvalidInput

REPOSITORY = Path(__file__).resolve().parents[3]


@contextlib.contextmanager
def gin_search(folders: Sequence[str | Path] = ()) -> Iterator[None]:
    """Look so for gin files, and for what they include, until the end of the block.

    gin logs an error for each place that has no such file, though a later one has it: nothing of
    this is shown. Raises InvalidInput for a folder that is none.
    """
    for folder in folders:
        if not Path(folder).expanduser().is_dir():
            raise InvalidInput(f"there is no folder {folder}", field="gin_search_paths")
    places = [str(Path(folder).expanduser()) for folder in folders]
    prefixes = config._LOCATION_PREFIXES  # gin takes no folder back
    before = list(prefixes)
    prefixes[:] = ["", *places, str(REPOSITORY)]
    root, silent = logging.getLogger(), logging.NullHandler()
    root.addHandler(silent)  # gin's logging would add one that stays
    root.addFilter(_told)
    try:
        yield
    finally:
        root.removeFilter(_told)
        root.removeHandler(silent)
        prefixes[:] = before


def check_gin_file(file: Path, folders: Sequence[str | Path] = ()) -> None:
    """Before gin, which would say so in several lines. Raises InvalidInput if it is nowhere."""
    places = [Path(), *(Path(folder).expanduser() for folder in folders), REPOSITORY]
    if not any((place / file).is_file() for place in places):
        beside = f", nor in {', '.join(map(str, folders))}" if folders else ""
        raise InvalidInput(f"there is no file {file}{beside}; check the path", field="gin_file")


def _told(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("Path not found: ")
