"""Rows that a prompt is scored on once it is done."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from ptsys.data.metrics import Scorer
from ptsys.errors import InvalidInput
from ptsys.kinds.trees import Tree
from ptsys.training.course import Steps
from ptsys.training.loop import Place


@dataclasses.dataclass(frozen=True)
class LastRows:
    """Their inputs and targets, and how answers to them are scored."""

    inputs: Sequence[str]
    targets: Sequence[str]
    score: Scorer


def last_scores(place: Place, rows: LastRows, reading: Tree, user: str) -> Steps[dict[str, float]]:
    """The scores of a prompt as the model reads it, called `test_…`. Raises InvalidInput if the
    metric fails, which may be a task's own."""
    future = place.engine.evaluate(rows.inputs, rows.targets, reading, user)
    answers = yield from place.answer(future)
    try:
        scores = rows.score([answer.prediction for answer in answers], list(rows.targets))
    except Exception as error:
        raise InvalidInput(
            f"a metric failed: {type(error).__name__}: {error}", field="tasks"
        ) from error
    return {f"test_{name}": value for name, value in scores.items()}
