"""A folder of tasks: `<task>/train.jsonl`, and beside it `validation.jsonl` and `test.jsonl`.

A `tasks.json` in the folder may describe them: a list of objects with `name`, and of what is known
`description`, `licence` and `kind`. Whatever else it says is left alone.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from ptsys.data.examples import read_examples
from ptsys.errors import InvalidInput
from ptsys.types.example import Example

Part = Literal["train", "validation", "test"]
_DESCRIBED = "tasks.json"


@dataclasses.dataclass(frozen=True)
class Task:
    """One task's folder, and what `tasks.json` says of it."""

    name: str
    folder: Path
    description: str | None = None
    licence: str | None = None
    kind: str | None = None

    def rows(self, part: Part) -> list[Example]:
        """The rows of a part; none where there is no such file, unless it is the training rows.

        Raises InvalidInput with the part's file and the number of the wrong line.
        """
        path = self.folder / f"{part}.jsonl"
        if part != "train" and not path.exists():
            return []
        try:
            return read_examples(path)
        except InvalidInput as error:
            reason = str(error).removeprefix(f"{path} ")
            raise InvalidInput(f"{path.name}: {reason}", field=error.field) from None


def find_tasks(
    folder: Path, include: Sequence[str] = ("*",), exclude: Sequence[str] = ()
) -> list[Task]:
    """The tasks whose names fit one pattern of `include` and none of `exclude` (`fv_*`), by name.

    Raises InvalidInput if there is no such folder, or no task in it, or none for a pattern.
    """
    if not folder.is_dir():
        raise InvalidInput(f"there is no folder {folder}; check the path", field="tasks")
    names = sorted(path.parent.name for path in folder.glob("*/train.jsonl"))
    if not names:
        raise InvalidInput(
            f"{folder} holds no tasks; make a folder with a train.jsonl for each", field="tasks"
        )
    for pattern in include:
        if not fnmatch.filter(names, pattern):
            raise InvalidInput(f"no task in {folder} is called {pattern!r}", field="include")
    chosen = [
        name
        for name in names
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in include)
        and not any(fnmatch.fnmatchcase(name, pattern) for pattern in exclude)
    ]
    if not chosen:
        raise InvalidInput(f"exclude leaves no task of {folder}", field="exclude")
    described = _described(folder / _DESCRIBED)
    return [_task(name, folder / name, described.get(name, {})) for name in chosen]


def _described(path: Path) -> dict[str, dict[str, Any]]:
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {task["name"]: task for task in found}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InvalidInput(
            f"{path} is no list of objects with a name ({type(error).__name__}: {error}); mend it "
            "or take it away",
            field="tasks",
        ) from None


def _task(name: str, folder: Path, said: dict[str, Any]) -> Task:
    texts: dict[str, str | None] = {}
    for field in ("description", "licence", "kind"):
        value = said.get(field)
        if value is not None and not isinstance(value, str):
            raise InvalidInput(
                f"{_DESCRIBED}: {field!r} of {name!r} is not a text; write it in quotes",
                field="tasks",
            )
        texts[field] = value
    return Task(name, folder, **texts)
