"""The sweep: removes files that no record needs any longer."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterable, Iterator

from etils import epath
from sqlalchemy import select

from ptsys.jobs.service import Service
from ptsys.store.tables import JobRow, PromptRow
from ptsys.types.records import JobState
from workers.folders import jobs_folder
from workers.prompt_ids import job_of

TASK_SWEEP = "ptsys.sweep"

_OLD_SECONDS = 24 * 3600.0  # what no record explains may be on its way to have one
_FINAL = [state.value for state in JobState if state.final]
_AT_ONCE = 500
logger = logging.getLogger(__name__)


def sweep(service: Service) -> list[str]:
    """Remove leftovers; says which. Can be repeated and run by several workers at once.

    - the folders of jobs that have ended, and after a day those of unknown jobs;
    - tensors whose job ended without a prompt, and after a day those without a record;
    - after a day, half-written files of writers that died.
    """
    root = epath.Path(service.settings.root)
    now = time.time()
    removed = [
        *_jobs(service, jobs_folder(root), now),
        *_prompts(service, root / "prompts", now),
        *_drafts(root / "datasets", now),
        *(path for folder in _children(root / "library") for path in _drafts(folder, now)),
    ]
    return [str(path) for path in removed if _remove(path)]


def _jobs(service: Service, folder: epath.Path, now: float) -> Iterator[epath.Path]:
    for paths in _portions(_children(folder)):
        states = _states(service, [path.name for path in paths])
        for path in paths:
            state = states.get(path.name)
            if state in _FINAL or (state is None and _old(path, now)):
                yield path


def _prompts(service: Service, folder: epath.Path, now: float) -> Iterator[epath.Path]:
    for paths in _portions(_children(folder)):
        names = [path.name for path in paths]
        states = _states(service, [job_of(name) for name in names])
        with service.database.reading() as session:  # after the states: a job ends with its record
            known = set(session.scalars(select(PromptRow.id).where(PromptRow.id.in_(names))))
        for path in paths:
            if path.name not in known and (
                states.get(job_of(path.name)) in _FINAL or _old(path, now)
            ):
                yield path


def _drafts(folder: epath.Path, now: float) -> Iterator[epath.Path]:
    return (path for path in _children(folder) if path.name.endswith(".draft") and _old(path, now))


def _states(service: Service, jobs: list[str]) -> dict[str, str]:
    with service.database.reading() as session:
        rows = session.execute(select(JobRow.id, JobRow.state).where(JobRow.id.in_(jobs)))
        return {row.id: row.state for row in rows}


def _children(folder: epath.Path) -> list[epath.Path]:
    return sorted(folder.iterdir()) if folder.exists() else []


def _portions(paths: list[epath.Path]) -> Iterable[list[epath.Path]]:
    return (paths[start : start + _AT_ONCE] for start in range(0, len(paths), _AT_ONCE))


def _old(path: epath.Path, now: float) -> bool:
    with contextlib.suppress(OSError):
        return bool(now - path.stat().mtime > _OLD_SECONDS)
    return False


def _remove(path: epath.Path) -> bool:
    try:
        if path.is_dir():
            path.rmtree(missing_ok=True)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("%s was not removed: %s", path, error)
        return False
    return True
