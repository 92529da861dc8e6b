"""One deployment: a database and a data folder that belong together, and both say so.

The id stands in the table `deployment` and in `<root>/deployment.json`. With a lost, mistyped or
foreign database every file would look like a leftover, and with another folder every record like
a loss. So nothing starts where the two differ, and the sweep looks again before it moves anything.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import fcntl
import json
import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import delete, select

from ptsys.errors import Unavailable, WrongDeployment
from ptsys.store.clock import Clock, utc_now
from ptsys.store.database import Database
from ptsys.store.durable import make_private_folder, write_whole
from ptsys.store.identifiers import new_id
from ptsys.store.tables import DatasetRow, DeploymentRow, PromptRow

logger = logging.getLogger(__name__)

FILE = "deployment.json"
_LOCK = ".deployment.lock"
_PROBED = 200  # records of a kind whose files are looked for
_HOW = (
    "Name the pair that belongs together (PTSYS_DATA_DIR or --data, PTSYS_DATABASE_URL), or bring "
    "back what was lost (`ptsys restore`). If these two shall belong together from now on: "
    "`ptsys adopt`"
)


@dataclasses.dataclass(frozen=True)
class Mark:
    """What a folder says of itself: whose it is, where it lay when that was last written, and when
    somebody said that this database is the right one for it, whatever it lacks."""

    deployment: str
    home: str
    adopted: datetime.datetime | None = None


def make_root(root: Path) -> None:
    """Make the data folder, for its owner alone. Raises Unavailable if that is impossible."""
    try:
        make_private_folder(root)
    except OSError as error:
        raise Unavailable(
            f"the data directory {root} cannot be made ({error.strerror}); choose another one "
            "with --data or PTSYS_DATA_DIR"
        ) from None


def bind(database: Database, root: Path, clock: Clock = utc_now) -> str:
    """The id that database and folder bear; both get one where neither has, and nothing speaks
    against it. A copy of a folder with the database in it becomes a deployment of its own.

    Raises WrongDeployment, saying how to go on, if they do not belong together; Unavailable if the
    folder cannot be read or written.
    """
    make_root(root)
    recorded, mark = _recorded(database), read_mark(root)
    if mark is None or mark.deployment != recorded or mark.home != _home(root):
        with _locked(root):
            mark = _bound(database, root, clock)
    _close_to_others(root)
    return mark.deployment


def check_bound(database: Database, root: Path) -> Mark:
    """The folder's mark. Raises WrongDeployment unless the database bears the same id now."""
    recorded, mark = _recorded(database), read_mark(root)
    if recorded is None or mark is None or mark.deployment != recorded:
        raise _different(database, root, recorded, mark)
    return mark


def adopt(database: Database, root: Path, clock: Clock = utc_now) -> str:
    """Let database and folder belong together from now on, as a new deployment, whatever they
    said; the id. Raises Unavailable if either cannot be written."""
    make_root(root)
    with _locked(root):
        return _mark_both(database, root, clock, adopted=clock()).deployment


def rebind(database: Database, root: Path, clock: Clock = utc_now) -> str:
    """A new id for both, as what lies there was just put there together; the id."""
    with _locked(root):
        return _mark_both(database, root, clock).deployment


def read_mark(root: Path) -> Mark | None:
    """What the folder says of itself; None if nothing. Raises Unavailable if that cannot be
    read."""
    path = root / FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        since = content.get("adopted")
        adopted = None if since is None else datetime.datetime.fromisoformat(since)
        return Mark(str(content["deployment"]), str(content["home"]), adopted)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unavailable(
            f"{path} cannot be read ({error}); it says to which deployment this folder belongs"
        ) from None


def _bound(database: Database, root: Path, clock: Clock) -> Mark:
    """Decide, alone."""
    recorded, mark = _recorded(database), read_mark(root)
    if recorded is None and mark is None:
        _refuse_strangers(database, root)
        return _mark_both(database, root, clock)
    if mark is None and recorded is not None and not _any(database) and not _kept(root):
        return _write_mark(root, Mark(recorded, _home(root)))  # its writer died in between
    if mark is None or mark.deployment != recorded:
        raise _different(database, root, recorded, mark)
    if mark.home != _home(root):
        if _is_copy(database, root, mark):
            copy = _mark_both(database, root, clock)
            logger.warning(
                "%s is a copy of %s: it is a deployment of its own now, %s",
                root,
                mark.home,
                copy.deployment,
            )
            return copy
        return _write_mark(root, dataclasses.replace(mark, home=_home(root)))
    return mark


def _is_copy(database: Database, root: Path, mark: Mark) -> bool:
    """The folder this one was is still there, and the database came with the copy."""
    if database.file is None or not database.file.is_relative_to(root):
        return False
    home = Path(mark.home)
    with contextlib.suppress(Unavailable, OSError):
        there = read_mark(home)
        return there is not None and there.deployment == mark.deployment and not _same(home, root)
    return False


def _refuse_strangers(database: Database, root: Path) -> None:
    """Neither has an id: both are new, or of a version before ids. Raises WrongDeployment where
    the files of one are nowhere in the other."""
    kept = _kept(root)
    known = _known(database)
    if known and kept and not known & kept:
        raise WrongDeployment(
            f"none of the datasets and prompts in the database {database.display} lies in {root}, "
            f"which holds others. {_HOW}"
        )
    if kept and not known:
        raise WrongDeployment(
            f"{root} holds datasets and prompts ({len(kept)}), and the database "
            f"{database.display} knows none: it is lost, or another one. {_HOW}"
        )
    if known and not kept:
        raise WrongDeployment(
            f"the database {database.display} has datasets and prompts, and {root} holds none: "
            f"the folder is lost, not mounted, or another one. {_HOW}"
        )


def _different(
    database: Database, root: Path, recorded: str | None, mark: Mark | None
) -> WrongDeployment:
    folder = "bears no id" if mark is None else f"belongs to deployment {mark.deployment}"
    base = "bears no id" if recorded is None else f"belongs to deployment {recorded}"
    return WrongDeployment(
        f"the folder {root} {folder}, the database {database.display} {base}. {_HOW}"
    )


def _mark_both(
    database: Database, root: Path, clock: Clock, adopted: datetime.datetime | None = None
) -> Mark:
    """A new id for both: the database first, as a folder alone would look robbed of its own."""
    mark = Mark(new_id("dep"), _home(root), adopted)
    with database.session() as session:
        session.execute(delete(DeploymentRow))
        session.add(DeploymentRow(id=mark.deployment, created=clock()))
    return _write_mark(root, mark)


def _write_mark(root: Path, mark: Mark) -> Mark:
    content = {key: value for key, value in dataclasses.asdict(mark).items() if value is not None}
    text = json.dumps(content, default=datetime.datetime.isoformat, indent=1)
    try:
        write_whole(root / FILE, f"{text}\n".encode())
    except OSError as error:
        raise _unwritable(root, error) from None
    return mark


def _recorded(database: Database) -> str | None:
    with database.reading() as session:
        return session.scalar(select(DeploymentRow.id))


def _any(database: Database) -> bool:
    return bool(_known(database, 1))


def _known(database: Database, most: int = _PROBED) -> set[str]:
    """Ids of the newest datasets and prompts."""
    ids: set[str] = set()
    with database.reading() as session:
        for column in (DatasetRow.id, PromptRow.id):
            ids |= set(session.scalars(select(column).order_by(column.desc()).limit(most)))
    return ids


def _kept(root: Path) -> set[str]:
    """Ids of all datasets and prompts whose files lie here."""
    datasets, prompts = root / "datasets", root / "prompts"
    ids = {path.stem for path in datasets.glob("ds-*.jsonl")} if datasets.is_dir() else set()
    if prompts.is_dir():
        ids |= {path.name for path in prompts.glob("pr-*") if "." not in path.name}
    return ids


def _home(root: Path) -> str:
    return os.path.realpath(root)


def _same(one: Path, other: Path) -> bool:
    return os.path.samefile(one, other)


def _close_to_others(root: Path) -> None:
    """The folder is its owner's alone, also one that an earlier version made."""
    with contextlib.suppress(OSError):
        folder = root.stat()
        ours = folder.st_uid == os.geteuid() and root != root.parent
        if ours and folder.st_mode & 0o077 and not folder.st_mode & stat.S_ISVTX:
            root.chmod(0o700)


@contextlib.contextmanager
def _locked(root: Path) -> Iterator[None]:
    try:
        file = (root / _LOCK).open("w")
    except OSError as error:
        raise _unwritable(root, error) from None
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _unwritable(root: Path, error: OSError) -> Unavailable:
    return Unavailable(
        f"the data directory {root} cannot be written ({error.strerror}); mend that, or choose "
        "another one with --data or PTSYS_DATA_DIR"
    )
