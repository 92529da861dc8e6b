"""The tasks that a run's `tasks` name: paths, tasks and sets of tasks, in any mixture."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path

from ptsys.errors import InvalidInput
from ptsys.runs.tasks.jsonl_task import JsonlTask, JsonlTasks
from ptsys.runs.tasks.seqio_task import SeqioTask
from ptsys.runs.tasks.task import Task
from ptsys.runs.tasks.task_mixture import TaskMixture

Source = str | JsonlTask | JsonlTasks | SeqioTask | TaskMixture
Sources = Source | tuple[Source, ...] | list[Source]
"""A text is the path of a task's folder, or of a folder of such folders."""


def task_list(sources: Sources, field: str = "tasks") -> list[Task]:
    """All tasks, in order. Raises InvalidInput for no task, a name that comes twice, and what is
    no task."""
    return _distinct(_flat(sources, field), field)


def _flat(sources: object, field: str) -> list[Task]:
    given = sources if isinstance(sources, tuple | list) else (sources,)
    tasks = [task for source in given for task in _tasks(source, field)]
    if not tasks:
        raise InvalidInput("name at least one task, for example a folder's path", field=field)
    return tasks


def _distinct(tasks: list[Task], field: str) -> list[Task]:
    seen: set[str] = set()
    for task in tasks:
        if task.title in seen:
            raise InvalidInput(
                f"two tasks are called {task.title!r}; give one another name", field=field
            )
        seen.add(task.title)
    return tasks


def _tasks(source: object, field: str) -> Iterable[Task]:
    if isinstance(source, str | Path):
        return _in_folder(Path(source).expanduser())
    if isinstance(source, JsonlTasks):
        return source.tasks()
    if isinstance(source, SeqioTask):
        return [source.resolved()]
    if isinstance(source, TaskMixture):
        if not source.name:
            raise InvalidInput("give the mixture a name", field="TaskMixture.name")
        parts = _distinct(_flat(source.tasks, "TaskMixture.tasks"), "TaskMixture.tasks")
        return [dataclasses.replace(source, tasks=tuple(parts))]
    if isinstance(source, JsonlTask):
        return [source]
    raise InvalidInput(
        f"{source!r} is no task; name a folder, or write (@JsonlTask(),)", field=field
    )


def _in_folder(folder: Path) -> Iterable[Task]:
    if (folder / "train.jsonl").is_file():
        return [JsonlTask(folder)]
    return JsonlTasks(folder).tasks()
