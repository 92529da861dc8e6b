"""Tasks and mixtures that are registered with seqio, by name.

seqio and TensorFlow are the extra `ptsys[seqio]`; they are imported when such a task is read, and
not before.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

from ptsys.data.metrics import scores
from ptsys.engine.trainings import RowOrder
from ptsys.errors import InvalidInput
from ptsys.runs.tasks.task import PARTS, Part, Task, named
from ptsys.runs.tasks.task_mixture import TaskMixture
from ptsys.types.example import Example

_EXTRA = "seqio is not installed; it comes with the extra: pip install 'ptsys[seqio]'"
_PLAIN = ("accuracy", "token_f1")  # where a task brings no metrics


@dataclasses.dataclass(frozen=True)
class SeqioTask:
    """A registered seqio task or mixture; a mixture is one task of all of its own, by its rates.

    `name` is what it is registered as, by the import of `module` (`my_project.tasks`) unless seqio
    knows it anyway. The splits say where the rows of each part are; a task without such a split
    has no such part. `input_length` and `target_length` are the lengths in tokens that the task's
    preprocessors are told; what the model reads is cut by the run. `max_rows` cuts the training
    rows, `max_scored_rows` those of the other parts.
    """

    name: str
    module: str | None = None
    train_split: str = "train"
    validation_split: str = "validation"
    test_split: str = "test"
    input_length: int = 512
    target_length: int = 512
    max_rows: int | None = None
    max_scored_rows: int | None = None
    rate: float | None = None

    def resolved(self) -> Task:
        """The task, or the mixture of tasks, with its rows at hand.

        Raises InvalidInput without the extra, for a module that cannot be imported, an unknown
        name, and a task without training rows.
        """
        seqio = _seqio()
        if self.module is not None:
            try:
                importlib.import_module(self.module)
            except ImportError as error:
                raise InvalidInput(
                    f"{self.module!r} cannot be imported ({error}); name the module that registers "
                    "the task, and put it on PYTHONPATH",
                    field="SeqioTask.module",
                ) from None
        try:
            found = seqio.get_mixture_or_task(self.name)
        except ValueError as error:
            told = str(error).partition("\n")[0]
            raise InvalidInput(
                f"{told}; check the name, and that SeqioTask.module registers it",
                field="SeqioTask.name",
            ) from None
        if not isinstance(found, seqio.Mixture):
            return SeqioRows(self, found)
        parts = [SeqioRows(self, task, float(found.get_rate(task))) for task in found.tasks]
        return TaskMixture(named(self.name), tuple(parts), mixing="rates", rate=self.rate)


class SeqioRows:
    """A seqio task as a run's task: its texts, and its own metrics with its postprocessing."""

    description: str | None = None
    licence: str | None = None
    kind: str | None = None

    def __init__(self, config: SeqioTask, task: Any, rate: float | None = None) -> None:
        self._config = config
        self._task = task
        self._found: dict[Part, list[dict[str, Any]]] = {}
        self.rate = config.rate if rate is None else rate

    @property
    def title(self) -> str:
        """Its registered name, as the store takes it."""
        return named(str(self._task.name))

    @functools.cached_property
    def metric(self) -> str:
        """The first of its scores: what a part answered rightly is scored with."""
        scored: list[Part] = [part for part in PARTS[1:] if self.rows(part)]
        part: Part = scored[0] if scored else "train"
        right = [row.target or "" for row in self.rows(part)]
        return next(iter(self.score(part, right)))

    def rows(self, part: Part) -> list[Example]:
        """The texts of a part, before seqio's own tokens where the task keeps them."""
        return [Example(row["input"], row["target"]) for row in self._read(part)]

    def score(self, part: Part, predictions: Sequence[str]) -> dict[str, float]:
        """The task's metrics, as its functions scale them; those of scores are left out."""
        rows = self._read(part)
        functions = self._task.predict_metric_fns
        if not functions:
            return scores(_PLAIN, predictions, [row["target"] for row in rows])
        process = self._task.postprocess_fn
        wanted = [process(row["target"], example=row["example"], is_target=True) for row in rows]
        given = [
            process(answer, example=row["example"], is_target=False)
            for answer, row in zip(predictions, rows, strict=True)
        ]
        found: dict[str, float] = {}
        for function in functions:
            found |= _numbers(function(wanted, given))
        return found

    def order(self, _batch_size: int, _seed: int) -> RowOrder | None:
        """Epoch by epoch."""
        return None

    def _read(self, part: Part) -> list[dict[str, Any]]:
        if part not in self._found:
            self._found[part] = self._load(part)
        return self._found[part]

    def _load(self, part: Part) -> list[dict[str, Any]]:
        config = self._config
        split = getattr(config, f"{part}_split")
        if split not in self._task.splits:
            if part != "train":
                return []
            raise InvalidInput(
                f"{self.title!r} has no split {split!r}, it has {', '.join(self._task.splits)}",
                field="SeqioTask.train_split",
            )
        data = self._task.get_dataset(
            sequence_length={"inputs": config.input_length, "targets": config.target_length},
            split=split,
            shuffle=False,
            num_epochs=1,
        )
        most = config.max_rows if part == "train" else config.max_scored_rows
        rows: list[dict[str, Any]] = []
        for example in (data if most is None else data.take(most)).as_numpy_iterator():
            texts = {key: self._text(example, f"{key}s") for key in ("input", "target")}
            if not texts["target"].strip():
                raise InvalidInput(
                    f"{self.title!r}, {split} row {len(rows) + 1}: the target is empty; leave it "
                    "out in the task's preprocessors",
                    field="SeqioTask.name",
                )
            rows.append({**texts, "example": example})
        if not rows and part == "train":
            raise InvalidInput(f"{self.title!r} has no training rows", field="SeqioTask.name")
        return rows

    def _text(self, example: Mapping[str, Any], feature: str) -> str:
        pretokenized = example.get(f"{feature}_pretokenized")
        if isinstance(pretokenized, bytes):
            return pretokenized.decode("utf-8", "replace")
        if isinstance(pretokenized, str):
            return pretokenized
        if feature not in example:
            raise InvalidInput(
                f"{self.title!r} makes no feature {feature!r}; a text-to-text task has inputs and "
                "targets",
                field="SeqioTask.name",
            )
        ids = [int(number) for number in example[feature]]
        return str(self._task.output_features[feature].vocabulary.decode(ids))


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """What of a metric's results is a number."""
    plain = {name: getattr(value, "value", value) for name, value in values.items()}
    return {
        str(name): float(value) for name, value in plain.items() if isinstance(value, numbers.Real)
    }


def _seqio() -> Any:
    try:
        return importlib.import_module("seqio")
    except ImportError as error:
        told = _EXTRA if getattr(error, "name", None) == "seqio" else f"{_EXTRA} ({error})"
        raise InvalidInput(told, field="SeqioTask") from None
