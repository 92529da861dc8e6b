"""The trash: what no record explains is moved there, under the day's date, and kept for a while.

That a record is absent proves little: the database may be lost, mistyped or older than the files.
So whatever goes by it moves a file instead of deleting it.
"""

from __future__ import annotations

import datetime
import logging
import os
import shutil
from pathlib import Path

from ptsys.store.durable import make_folder

logger = logging.getLogger(__name__)

FOLDER = "trash"


def discard(root: Path, path: Path, today: datetime.date) -> Path:
    """Move something that lies under the root into the trash; where it is now. Raises OSError."""
    place = root / FOLDER / today.isoformat() / path.relative_to(root)
    make_folder(place.parent)
    number, free = 2, place
    while os.path.lexists(free):
        free = place.with_name(f"{place.name}.{number}")
        number += 1
    shutil.move(path, free)
    return free


def empty(root: Path, today: datetime.date, days: float) -> list[Path]:
    """Delete what was put there more than so many days ago; says which days' folders."""
    removed = []
    for folder in sorted((root / FOLDER).iterdir()) if (root / FOLDER).is_dir() else ():
        try:
            age = today - datetime.date.fromisoformat(folder.name)
        except ValueError:  # nothing of ours
            continue
        if age > datetime.timedelta(days=days):
            shutil.rmtree(folder, ignore_errors=True)
            if folder.exists():
                logger.warning("%s was not removed", folder)
            else:
                removed.append(folder)
    return removed
