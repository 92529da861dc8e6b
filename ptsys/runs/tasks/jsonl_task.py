"""Tasks in folders: `train.jsonl`, and beside it `validation.jsonl` and `test.jsonl`; or in files,
of rows to train on alone.

In a folder of tasks TASK/description.txt or TASK.txt may describe one, and a `tasks.json` any of
them: a list of objects with `name`, and of what is known `description`, `licence` and `kind`.
Whatever else it says is left alone.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ptsys.data.examples import read_examples
from ptsys.data.metrics import check_metrics, scores
from ptsys.engine.trainings import RowOrder
from ptsys.errors import InvalidInput
from ptsys.runs.tasks.row_template import read_rows
from ptsys.runs.tasks.task import PARTS, Part, named
from ptsys.types.example import Example

_DESCRIBED = "tasks.json"
_ROWS = ".jsonl"
METRICS = ("accuracy", "token_f1")


@dataclasses.dataclass(frozen=True)
class JsonlTask:
    """One task's folder, or the file of its training rows. `name` is its own where it is None.

    `metrics` are names of `ptsys.data.metrics`, the first counts most. With the templates `input`
    and `target` a row may have any fields: `input = 'premise: {premise} claim: {claim}'`. `rate`
    is for mixing by rates, and `max_rows` cuts the training rows.
    """

    folder: str | Path
    name: str | None = None
    metrics: tuple[str, ...] = METRICS
    input: str | None = None
    target: str | None = None
    max_rows: int | None = None
    rate: float | None = None
    description: str | None = None
    licence: str | None = None
    kind: str | None = None

    def __post_init__(self) -> None:
        check_metrics(self.metrics, field="JsonlTask.metrics")
        if self.max_rows is not None and self.max_rows < 1:
            raise InvalidInput(f"{self.max_rows}: at least 1", field="JsonlTask.max_rows")

    @property
    def title(self) -> str:
        """What it is called."""
        return self.name or named(self._path.name.removesuffix(_ROWS))

    @property
    def metric(self) -> str:
        """The metric that counts most."""
        return self.metrics[0]

    @property
    def _path(self) -> Path:
        return Path(self.folder).expanduser().absolute()

    def file(self, part: Part) -> Path:
        """Where the rows of a part would be."""
        if part == "train" and self._path.is_file():
            return self._path
        return self._path / f"{part}{_ROWS}"

    def rows(self, part: Part) -> list[Example]:
        """The rows of a part; none where there is no such file, unless it is the training rows.

        Raises InvalidInput with the part's file and the number of the wrong line.
        """
        path = self.file(part)
        if not path.exists():
            if part != "train":
                return []
            raise InvalidInput(
                f"task {self.title!r} has no {path}; put its training rows there", field="tasks"
            )
        try:
            if self.input is None and self.target is None:
                found = read_examples(path)
            else:
                found = read_rows(path, self.input or "{input}", self.target or "{target}")
        except InvalidInput as error:
            reason = str(error).removeprefix(f"{path} ")
            raise InvalidInput(f"{path.name}: {reason}", field=error.field) from None
        return found[: self.max_rows] if part == "train" else found

    def score(self, part: Part, predictions: Sequence[str]) -> dict[str, float]:
        """Its metrics, of answers to the rows of that part."""
        targets = [row.target or "" for row in self.rows(part)]
        return scores(self.metrics, predictions, targets)

    def order(self, _batch_size: int, _seed: int) -> RowOrder | None:
        """Epoch by epoch."""
        return None


@dataclasses.dataclass(frozen=True)
class JsonlTasks:
    """A folder of tasks: each `<task>/train.jsonl` or `<task>.jsonl` in it whose name fits one
    pattern of `include` and none of `exclude` (`fv_*`). The rest is as in `JsonlTask`."""

    folder: str | Path
    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    metrics: tuple[str, ...] = METRICS
    input: str | None = None
    target: str | None = None
    max_rows: int | None = None

    def tasks(self) -> list[JsonlTask]:
        """The tasks by name. Raises InvalidInput as `find_tasks` does."""
        found = find_tasks(Path(self.folder).expanduser(), self.include, self.exclude)
        fields = ("metrics", "input", "target", "max_rows")
        same = {field: getattr(self, field) for field in fields}
        return [dataclasses.replace(task, **same) for task in found]


def find_tasks(
    folder: Path,
    include: Sequence[str] = ("*",),
    exclude: Sequence[str] = (),
    *,
    field: str = "tasks",
) -> list[JsonlTask]:
    """The tasks whose names fit one pattern of `include` and none of `exclude` (`fv_*`), by name.

    Raises InvalidInput if there is no such folder, or no task in it, or none for a pattern.
    """
    if not folder.is_dir():
        raise InvalidInput(f"there is no folder {folder}; check the path", field=field)
    places = _places(folder, field)
    names = sorted(places)
    if not names:
        raise InvalidInput(
            f"{folder} holds no tasks; make TASK/train.jsonl or TASK.jsonl for each", field=field
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
    return [_task(name, places[name], described.get(name, {})) for name in chosen]


def _places(folder: Path, field: str) -> dict[str, Path]:
    """The tasks of a folder by name. Files that are parts of the folder's own task are none."""
    found = {path.parent.name: path.parent for path in folder.glob(f"*/train{_ROWS}")}
    for path in folder.glob(f"*{_ROWS}"):
        name = path.name.removesuffix(_ROWS)
        if name in PARTS or not path.is_file():
            continue
        if name in found:
            raise InvalidInput(
                f"{path} and {found[name]} are two tasks of one name; rename one", field=field
            )
        found[name] = path
    return found


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


def _task(name: str, place: Path, said: dict[str, Any]) -> JsonlTask:
    texts: dict[str, str | None] = {}
    for field in ("description", "licence", "kind"):
        value = said.get(field)
        if value is not None and not isinstance(value, str):
            raise InvalidInput(
                f"{_DESCRIBED}: {field!r} of {name!r} is not a text; write it in quotes",
                field="tasks",
            )
        texts[field] = value
    return JsonlTask(
        place,
        name,
        description=texts["description"] or _told(place),
        licence=texts["licence"],
        kind=texts["kind"],
    )


def _told(place: Path) -> str | None:
    """What the text beside a task's rows says, if there is one."""
    path = place.with_suffix(".txt") if place.is_file() else place / "description.txt"
    if not path.is_file():
        return None
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}", field="tasks") from None
