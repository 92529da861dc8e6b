"""Tasks to write prompts for, out of a file or a folder.

A JSONL file tells of one a line, as `ptsys.data.told_task` says, where `examples` may also be the
path of a JSONL file of rows, seen from the file that names it; of a folder of tasks the first rows
to train on are read.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from ptsys.data.examples import read_examples
from ptsys.data.told_task import Told, ToldTask, gathered, told_line
from ptsys.errors import InvalidInput
from ptsys.runs.tasks.jsonl_task import find_tasks


def told_tasks(place: Path, examples: int, *, described: bool, prefix: str) -> list[ToldTask]:
    """The tasks of a JSONL file or a folder; see `gathered`. Raises InvalidInput naming the line or
    the task that is wrong."""
    found = _of_folder(place, examples) if place.is_dir() else _of_file(place)
    return gathered(found, examples, described=described, prefix=prefix)


def _of_folder(folder: Path, examples: int) -> Iterator[Told]:
    for task in find_tasks(folder):
        rows = dataclasses.replace(task, max_rows=max(examples, 1)).rows("train")
        yield Told(f"task {task.title}", task.title, rows, task.description)


def _of_file(file: Path) -> Iterator[Told]:
    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file} cannot be read: {error}", field="tasks") from None
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield told_line(
                f"{file.name}, line {number}",
                line,
                lambda path: read_examples(file.parent / Path(path).expanduser()),
            )
