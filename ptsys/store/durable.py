"""What is on the disk, and stays there when the power goes.

A write lies in the kernel's memory until it is synced: a file's content by a sync of the file, its
name by a sync of the folder that holds it. So whoever acknowledges something syncs the files, then
the folders, and writes the record last. A bucket keeps what it acknowledged: its paths pass
through here and nothing is done.
"""

from __future__ import annotations

import os
from pathlib import Path

from etils import epath


def make_folder(path: epath.PathLike) -> None:
    """Make a folder and those above it; their names are on the disk afterwards. Raises OSError."""
    folder = local(path)
    if folder is None:
        epath.Path(path).mkdir(parents=True, exist_ok=True)
        return
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for new in reversed(missing):
        new.mkdir(exist_ok=True)
        sync(new.parent)


def make_private_folder(folder: Path) -> None:
    """Make a folder for its owner alone, unless it is there. Raises OSError."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def put_in_place(draft: epath.PathLike, target: epath.PathLike) -> None:
    """Give a finished file or folder its name; content and name are on the disk afterwards. A file
    replaces one that is there. Raises OSError."""
    source, place = local(draft), local(target)
    if source is None or place is None:
        epath.Path(draft).rename(target)
        return
    sync_tree(source)
    os.replace(source, place)
    sync(place.parent)


def write_whole(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Write a file that appears whole or not at all, and stays. Raises OSError."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
            file.write(content)
        put_in_place(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def keep(path: epath.PathLike) -> None:
    """What another library wrote and named is on the disk afterwards, and so is its name. Raises
    OSError."""
    place = local(path)
    if place is not None:
        sync_tree(place)
        sync(place.parent)


def sync_tree(path: Path) -> None:
    """Sync a file, or a folder with all that lies in it. Raises OSError."""
    if path.is_dir():
        for folder, _, files in os.walk(path, topdown=False):
            for name in files:
                sync(Path(folder, name))
            sync(Path(folder))
    else:
        sync(path)


def sync(path: Path) -> None:
    """Sync one file's content, or the names in one folder. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def local(path: epath.PathLike) -> Path | None:
    """The path on this machine; None in a bucket."""
    text = os.fspath(path)
    return None if "://" in text else Path(text)
