"""The sweep: moves files that no record explains into the trash, and empties it in time."""

from __future__ import annotations

import contextlib
import datetime
import logging
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import select

from ptsys.jobs.retention import forget_jobs
from ptsys.jobs.service import Service
from ptsys.store import trash
from ptsys.store.deployment import Mark, check_bound
from ptsys.store.tables import DatasetRow, JobRow, PromptRow
from ptsys.types.records import JobState
from workers.folders import jobs_folder
from workers.prompt_ids import job_of

TASK_SWEEP = "ptsys.sweep"

_OLD = datetime.timedelta(days=1)  # what no record explains may be on its way to have one
_CONSENT = datetime.timedelta(days=3)  # so long does the word of `ptsys adopt` count
_FEW = 2  # leftovers of crashes, whatever else there is
_MOST = 0.25  # of all that lies there
_FINAL = {state.value for state in JobState if state.final}
_AT_ONCE = 500
logger = logging.getLogger(__name__)


class _Leftover(NamedTuple):
    """What lies in one folder. `useless`: a record says that nobody needs it. `unknown`: no record
    speaks of it; it may be moved if it is `old`."""

    path: Path
    useless: bool = False
    unknown: bool = False
    old: bool = False


def sweep(service: Service) -> list[str]:
    """Clear away leftovers; says which. Can be repeated and run by several workers at once.

    - the folders of jobs that have ended are deleted: their records say that they ended;
    - what no record explains goes to the trash after a day: folders of unknown jobs, datasets,
      tensors, also those whose job ended without a prompt, half-written files of writers that died;
    - if a large part of a folder looks unknown, nothing of it is moved, as the database is
      probably the wrong one;
    - what lay in the trash for `trash_days` is deleted;
    - jobs that ended more than `keep_jobs_days` ago are forgotten, once their folders are gone.

    Raises WrongDeployment if folder and database do not belong together.
    """
    root = service.settings.root
    mark = check_bound(service.database, root)
    now = service.clock()
    removed = [path for path in _ended(service, root) if _delete(path)]
    moved = [
        leftover.path
        for folder, look in _FOLDERS
        for leftover in _leftovers(look(service, root / folder, now), root / folder, mark, now)
        if _discard(root, leftover.path, now)
    ]
    emptied = trash.empty(root, now.date(), service.settings.trash_days)
    forget_jobs(service)
    return [str(path) for path in (*removed, *moved, *emptied)]


def _leftovers(
    lying: Iterable[_Leftover], folder: Path, mark: Mark, now: datetime.datetime
) -> list[_Leftover]:
    """What may be moved out of one folder."""
    leftovers = list(lying)
    unknown = [one for one in leftovers if one.unknown]
    useless = [one for one in leftovers if one.useless]
    consent = mark.adopted is not None and now - mark.adopted < _CONSENT
    if len(unknown) > max(_FEW, _MOST * len(leftovers)) and not consent:
        logger.error(
            "%d of %d in %s have no record, so nothing of them is moved: the database may be older "
            "than the folder, or another one. Bring the right one back (`ptsys restore`), or "
            "say that this is the one with `ptsys adopt`: then they go to the trash",
            len(unknown),
            len(leftovers),
            folder,
        )
        return useless
    return [*useless, *(one for one in unknown if one.old)]


def _ended(service: Service, root: Path) -> Iterator[Path]:
    for paths in _portions(_children(Path(jobs_folder(root)))):
        states = _states(service, [path.name for path in paths])
        yield from (path for path in paths if states.get(path.name) in _FINAL)


def _jobs(service: Service, folder: Path, now: datetime.datetime) -> Iterator[_Leftover]:
    for paths in _portions(_children(folder)):
        states = _states(service, [path.name for path in paths])
        for path in paths:
            yield _Leftover(path, unknown=path.name not in states, old=_old(path, now))


def _prompts(service: Service, folder: Path, now: datetime.datetime) -> Iterator[_Leftover]:
    for paths in _portions(_children(folder)):
        names = [path.name for path in paths]
        states = _states(service, [job_of(name) for name in names])
        with service.database.reading() as session:  # after the states: a job ends with its record
            known = set(session.scalars(select(PromptRow.id).where(PromptRow.id.in_(names))))
        for path in paths:
            if path.name in known:
                yield _Leftover(path)
            elif ".orbax-checkpoint-tmp-" in path.name:  # half of one
                yield _Leftover(path, useless=_old(path, now))
            else:
                state = states.get(job_of(path.name))
                yield _Leftover(
                    path, useless=state in _FINAL, unknown=state is None, old=_old(path, now)
                )


def _datasets(service: Service, folder: Path, now: datetime.datetime) -> Iterator[_Leftover]:
    for paths in _portions(_children(folder)):
        names = [path.stem for path in paths]
        with service.database.reading() as session:
            known = set(session.scalars(select(DatasetRow.id).where(DatasetRow.id.in_(names))))
        for path in paths:
            if path.name.endswith(".draft"):
                yield _Leftover(path, useless=_old(path, now))
            else:
                yield _Leftover(path, unknown=path.stem not in known, old=_old(path, now))


def _drafts(service: Service, folder: Path, now: datetime.datetime) -> Iterator[_Leftover]:
    for path in sorted(folder.rglob(".*")) if folder.is_dir() else ():
        if path.name.endswith((".draft", ".part")):
            yield _Leftover(path, useless=_old(path, now))


_Look = Callable[[Service, Path, datetime.datetime], Iterator[_Leftover]]
_FOLDERS: tuple[tuple[str, _Look], ...] = (
    ("jobs", _jobs),
    ("prompts", _prompts),
    ("datasets", _datasets),
    ("library", _drafts),
)


def _states(service: Service, jobs: list[str]) -> dict[str, str]:
    with service.database.reading() as session:
        rows = session.execute(select(JobRow.id, JobRow.state).where(JobRow.id.in_(jobs)))
        return {row.id: row.state for row in rows}


def _children(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _portions(paths: list[Path]) -> Iterable[list[Path]]:
    return (paths[start : start + _AT_ONCE] for start in range(0, len(paths), _AT_ONCE))


def _old(path: Path, now: datetime.datetime) -> bool:
    with contextlib.suppress(OSError):
        made = datetime.datetime.fromtimestamp(path.lstat().st_mtime, datetime.UTC)
        return now - made > _OLD
    return False


def _delete(path: Path) -> bool:
    shutil.rmtree(path, ignore_errors=True)
    if path.exists():
        logger.warning("%s was not removed", path)
    return not path.exists()


def _discard(root: Path, path: Path, now: datetime.datetime) -> bool:
    try:
        trash.discard(root, path, now.date())
    except FileNotFoundError:  # another worker was faster
        return False
    except OSError as error:
        logger.warning("%s was not moved to the trash: %s", path, error)
        return False
    return True
