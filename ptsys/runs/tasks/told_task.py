"""Tasks to write prompts for: a name with examples, a description, or both.

They come from a JSONL file, `{"name": ..., "examples": [{"input": ..., "target": ...}, ...],
"description": ...}` a line, where `examples` may also be the path of a JSONL file of rows, seen
from the file that names it; or from a folder of tasks, of each its first rows to train on.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ptsys.data.examples import read_examples
from ptsys.errors import InvalidInput
from ptsys.runs.tasks.jsonl_task import find_tasks
from ptsys.types.example import Example, digest
from ptsys.types.names import named
from ptsys.types.requests import MOST_EXAMPLES

_KEYS = {"name", "examples", "description"}


@dataclasses.dataclass(frozen=True)
class ToldTask:
    """One task."""

    name: str
    examples: tuple[Example, ...]
    description: str | None = None

    @property
    def digest(self) -> str:
        """Equal if examples and description are."""
        told = f"{digest(self.examples)} {self.description or ''}"
        return hashlib.sha256(told.encode()).hexdigest()[:32]


def told_tasks(place: Path, examples: int, *, described: bool, prefix: str) -> list[ToldTask]:
    """The tasks of a JSONL file or a folder, at most so many examples of each; descriptions only
    where `described`, unless there is nothing else. Names begin with `prefix`.

    Raises InvalidInput naming the line or the task that is wrong.
    """
    found = _of_folder(place, examples) if place.is_dir() else _of_file(place)
    tasks: dict[str, ToldTask] = {}
    for where, name, rows, description in found:
        rows = rows[:examples]
        told = description if described or not rows else None
        if not rows and not told:
            raise InvalidInput(f"{where}: give examples, a description, or both", field="tasks")
        try:
            name = named(f"{prefix}{name}")
        except ValueError as error:
            raise InvalidInput(f"{where}: {error}", field="tasks") from None
        if name in tasks:
            raise InvalidInput(f"{where}: there are two tasks {name!r}", field="tasks")
        tasks[name] = ToldTask(name, tuple(rows), told)
    if not tasks:
        raise InvalidInput(f"{place} tells of no task", field="tasks")
    return list(tasks.values())


def check_examples(examples: int, field: str) -> None:
    """Raise InvalidInput for a number of examples that nothing is written from."""
    if not 0 <= examples <= MOST_EXAMPLES:
        raise InvalidInput(f"{examples}: from 0 to {MOST_EXAMPLES} examples are read", field=field)


_Told = tuple[str, str, list[Example], str | None]


def _of_folder(folder: Path, examples: int) -> Iterator[_Told]:
    for task in find_tasks(folder):
        rows = dataclasses.replace(task, max_rows=max(examples, 1)).rows("train")
        yield f"task {task.title}", task.title, rows, task.description


def _of_file(file: Path) -> Iterator[_Told]:
    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file} cannot be read: {error}", field="tasks") from None
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield _of_line(f"{file.name}, line {number}", line, file.parent)


def _of_line(where: str, line: str, folder: Path) -> _Told:
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        raise InvalidInput(f"{where}: this is not JSON", field="tasks") from None
    if not isinstance(told, dict) or not isinstance(told.get("name"), str) or set(told) - _KEYS:
        raise InvalidInput(
            f"{where}: a task has `name`, and `examples`, a `description`, or both", field="tasks"
        )
    description = told.get("description")
    if not isinstance(description, str | None):
        raise InvalidInput(f"{where}: the description is no text", field="tasks")
    return where, told["name"], _rows(where, told.get("examples", []), folder), description


def _rows(where: str, told: Any, folder: Path) -> list[Example]:
    if isinstance(told, str):
        try:
            return read_examples(folder / Path(told).expanduser())
        except InvalidInput as error:
            raise InvalidInput(f"{where}: {error}", field="tasks") from None
    rows = told if isinstance(told, list) else [None]
    found = []
    for row in rows:
        pair = (row.get("input"), row.get("target")) if isinstance(row, dict) else (None, None)
        if not isinstance(pair[0], str) or not isinstance(pair[1], str) or not pair[1].strip():
            raise InvalidInput(
                f'{where}: an example is {{"input": "...", "target": "..."}}', field="tasks"
            )
        found.append(Example(pair[0], pair[1]))
    return found
