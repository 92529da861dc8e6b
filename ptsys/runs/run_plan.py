"""What a run would do, told without doing it; and what its tasks must be to be done at all."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from ptsys.errors import InvalidInput
from ptsys.jobs.limits import ModelLimits
from ptsys.runs.tasks.task import PARTS, Part, Task


def plan_lines(tasks: Sequence[Task], seeds: Sequence[int] = (0,)) -> dict[str, Any]:
    """A line a task with its rows, and how many there are in all."""
    lines = [
        {"task": task.title, **{part: len(task.rows(part)) for part in PARTS}} for task in tasks
    ]
    return {"tasks": lines, "prompts": len(tasks) * len(seeds)}


def fitting(limits: ModelLimits, run: str, max_input_length: int | None) -> ModelLimits:
    """The limits with the run's own one, below the model's. Raises InvalidInput above it."""
    if max_input_length is None:
        return limits
    field = f"{run}.max_input_length"
    if max_input_length < 1:
        raise InvalidInput(f"{max_input_length}: it should be at least 1", field=field)
    if max_input_length > limits.max_input_length:
        raise InvalidInput(
            f"{max_input_length} tokens, but {limits.model!r} reads at most "
            f"{limits.max_input_length}; lower it, or add a file such as "
            "--gin_file=gin/recipes/tiny.gin",
            field=field,
        )
    return dataclasses.replace(limits, max_input_length=max_input_length)


def check_rows(tasks: Sequence[Task], limits: ModelLimits, parts: Sequence[Part] = PARTS) -> int:
    """How many training inputs will be cut. Raises InvalidInput that names task, part and row for
    a target that the model cannot learn, and for a row to score on that has none."""
    cut = 0
    for task in tasks:
        for part in parts:
            rows = task.rows(part)
            if not rows:
                continue
            try:
                if part == "train":
                    cut += limits.check_training(rows)
                else:
                    limits.check(rows)
            except InvalidInput as error:
                raise InvalidInput(f"{task.title}, {part}: {error}", field="tasks") from None
    return cut
