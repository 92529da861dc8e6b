"""Tasks to write prompts for: a name with examples, a description, or both, as JSON lines
`{"name": ..., "examples": [{"input": ..., "target": ...}, ...], "description": ...}`.

A stored dataset may hold them too, a line as the input of a row.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ptsys.errors import InvalidInput
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

    def row(self) -> Example:
        """The task as a row of a dataset."""
        rows = [{"input": one.input, "target": one.target} for one in self.examples]
        told = {"name": self.name, "examples": rows, "description": self.description}
        return Example(json.dumps(told, ensure_ascii=False))


@dataclasses.dataclass(frozen=True)
class Told:
    """A task as it was found, and `where`."""

    where: str
    name: str
    rows: Sequence[Example]
    description: str | None


def gathered(
    found: Iterable[Told], examples: int, *, described: bool, prefix: str, field: str = "tasks"
) -> list[ToldTask]:
    """The tasks, at most so many examples of each; descriptions only where `described`, unless
    there is nothing else. Names begin with `prefix`.

    Raises InvalidInput, of that field, saying where it is wrong.
    """
    tasks: dict[str, ToldTask] = {}
    for one in found:
        rows = one.rows[:examples]
        told = one.description if described or not rows else None
        if not rows and not told:
            raise InvalidInput(f"{one.where}: give examples, a description, or both", field=field)
        try:
            name = named(f"{prefix}{one.name}")
        except ValueError as error:
            raise InvalidInput(f"{one.where}: {error}", field=field) from None
        if name in tasks:
            raise InvalidInput(f"{one.where}: there are two tasks {name!r}", field=field)
        tasks[name] = ToldTask(name, tuple(rows), told)
    if not tasks:
        raise InvalidInput("it tells of no task", field=field)
    return list(tasks.values())


def told_rows(rows: Sequence[Example], field: str = "tasks") -> Iterable[Told]:
    """The tasks that a dataset's rows tell of. Raises InvalidInput naming the row."""
    for number, row in enumerate(rows, start=1):
        yield told_line(f"row {number}", row.input, field=field)


def told_line(
    where: str,
    line: str,
    rows_of: Callable[[str], list[Example]] | None = None,
    *,
    field: str = "tasks",
) -> Told:
    """The task that a line tells of; `rows_of` reads a file that it names in place of examples.
    Raises InvalidInput."""
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        raise InvalidInput(f"{where}: this is not JSON", field=field) from None
    if not isinstance(told, dict) or not isinstance(told.get("name"), str) or set(told) - _KEYS:
        raise InvalidInput(
            f"{where}: a task has `name`, and `examples`, a `description`, or both", field=field
        )
    description = told.get("description")
    if not isinstance(description, str | None):
        raise InvalidInput(f"{where}: the description is no text", field=field)
    rows = _rows(where, told.get("examples", []), rows_of, field)
    return Told(where, told["name"], rows, description)


def check_examples(examples: int, field: str) -> None:
    """Raise InvalidInput for a number of examples that nothing is written from."""
    if not 0 <= examples <= MOST_EXAMPLES:
        raise InvalidInput(f"{examples}: from 0 to {MOST_EXAMPLES} examples are read", field=field)


def _rows(
    where: str, told: Any, rows_of: Callable[[str], list[Example]] | None, field: str
) -> list[Example]:
    if isinstance(told, str) and rows_of is not None:
        try:
            return rows_of(told)
        except InvalidInput as error:
            raise InvalidInput(f"{where}: {error}", field=field) from None
    rows = told if isinstance(told, list) else [None]
    found = []
    for row in rows:
        pair = (row.get("input"), row.get("target")) if isinstance(row, dict) else (None, None)
        if not isinstance(pair[0], str) or not isinstance(pair[1], str) or not pair[1].strip():
            raise InvalidInput(
                f'{where}: an example is {{"input": "...", "target": "..."}}', field=field
            )
        found.append(Example(pair[0], pair[1]))
    return found
