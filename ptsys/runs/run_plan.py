"""What a run would do, told without doing it; and what its tasks must be to be done at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console

from ptsys.errors import InvalidInput
from ptsys.jobs.limits import ModelLimits
from ptsys.runs.tasks.task import PARTS, Part, Task
from ptsys.types.input_notes import InputNotes


def plan_lines(tasks: Sequence[Task], seeds: Sequence[int] = (0,)) -> dict[str, Any]:
    """A line a task with its rows, and how many there are in all."""
    lines = [
        {"task": task.title, **{part: len(task.rows(part)) for part in PARTS}} for task in tasks
    ]
    return {"tasks": lines, "prompts": len(tasks) * len(seeds)}


def check_fits(limits: ModelLimits, run: str, max_input_length: int | None) -> None:
    """Raise InvalidInput for a run's own input length that is above the model's, or none."""
    if max_input_length is None:
        return
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


def check_rows(
    tasks: Sequence[Task],
    limits: ModelLimits,
    *,
    truncate: bool,
    parts: Sequence[Part] = PARTS,
    max_input_length: int | None = None,
) -> InputNotes:
    """What is not read of the inputs, of which training reads at most `max_input_length` tokens.

    Raises InvalidInput that names task, part and row for a target that the model cannot learn, for
    a row to score on that has none, and unless `truncate` for an input that is too long.
    """
    notes = InputNotes()
    for task in tasks:
        for part in parts:
            rows = task.rows(part)
            if not rows:
                continue
            training = part == "train"
            reading = limits.reading(max_input_length) if training else limits
            try:
                (reading.check_training if training else reading.check)(rows, truncate=truncate)
            except InvalidInput as error:
                raise InvalidInput(f"{task.title}, {part}: {error}", field="tasks") from None
            notes += reading.training_notes(rows)
    return notes


def tell(notes: InputNotes) -> None:
    """Say once, on stderr, what is not read of the inputs."""
    if notes.warning is not None:
        Console(stderr=True, highlight=False).print(notes.warning, markup=False, soft_wrap=True)


def noted(notes: InputNotes) -> dict[str, int]:
    """The same in a plan."""
    return {"cut_inputs": notes.cut, "unknown_inputs": notes.unknown}
