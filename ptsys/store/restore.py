"""A deployment made of a backup: a new one, with an id of its own."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from ptsys.errors import Conflict, InvalidInput
from ptsys.store.archive import read_archive
from ptsys.store.database import Database
from ptsys.store.deployment import make_root, rebind
from ptsys.store.durable import put_in_place
from ptsys.store.faults import unwritable
from ptsys.store.migrations import HEAD

_FOLDERS = ("models", "datasets", "prompts", "jobs")


def check_backup(file: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and manifest of a backup all of whose checksums are right. Raises InvalidInput."""
    return read_archive(file, None, _known)


def restore(file: Path, database: Database, root: Path) -> tuple[dict[str, Any], str]:
    """Put a backup into an empty folder and an empty database; its header, and the new
    deployment's id. Everything is checked before any of it gets its place, the records last.

    Raises InvalidInput if the backup is damaged, Conflict if folder or database hold something,
    Unavailable if either cannot be written.
    """
    make_root(root)
    lying = [path.name for path in root.iterdir()]
    if lying:
        raise Conflict(f"{root} holds {lying[0]} already; restore into a new folder (--data)")
    try:
        with tempfile.TemporaryDirectory(dir=root, prefix=".restore-") as place:
            draft = Path(place)
            header, _ = read_archive(file, draft, lambda told: _check(told, database))
            for name in _FOLDERS:
                if (draft / name).exists():
                    put_in_place(draft / name, root / name)
            database.fill(draft / "database", header["revision"])
        made = rebind(database, root)
    except BaseException as error:
        _clear(database, root)
        if isinstance(error, OSError):
            raise unwritable("the backup", root, error) from error
        raise
    return header, made


def _clear(database: Database, root: Path) -> None:
    """All that lies there was put there just now."""
    database.close()
    for path in root.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _check(header: dict[str, Any], database: Database) -> None:
    _known(header)
    database.refuse_filled()


def _known(header: dict[str, Any]) -> None:
    if str(header.get("revision")) > HEAD:
        raise InvalidInput(
            "the backup was made by a newer version of ptsys; upgrade this one",
            field="file",
        )
