"""Folders that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ptsys.errors import Conflict
from ptsys.store.durable import make_folder, sync, sync_tree


@contextlib.contextmanager
def atomic_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """A hidden folder beside `path` to write into, renamed to `path` when the block ends well; then
    all of it is on the disk.

    If the block raises, what it wrote is removed. Raises Conflict if `path` exists already,
    also when another process was faster, unless it is to be replaced.
    """
    path = path.absolute()
    if path.exists() and not replace:
        raise Conflict(f"{path} exists already; choose another name")
    make_folder(path.parent)
    work = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    new, old = work / "new", work / "old"
    try:
        new.mkdir()
        yield new
        sync_tree(new)
        if replace and path.exists():
            os.rename(path, old)
        try:
            os.rename(new, path)
        except OSError as error:
            if old.exists() and not path.exists():
                os.rename(old, path)
            raise Conflict(f"{path} exists already; choose another name") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    sync(path.parent)
