"""Rows made of inputs and a prompt's answers to them, as far as these are certain enough."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from ptsys.data.vocabulary import Vocabulary
from ptsys.errors import InvalidInput
from ptsys.types.example import Example
from ptsys.types.requests import Prediction


class Answered(NamedTuple):
    """The rows that are kept, in order, and how many are not."""

    rows: list[Example]
    left_out: int


def confidence(answer: Prediction, vocabulary: Vocabulary) -> float:
    """The mean log-probability of an answer's tokens (nats, at most 0), its end among them; counted
    as the vocabulary writes the answer."""
    return answer.score / (len(vocabulary.encode(answer.prediction)) + 1)


def answered(
    inputs: Sequence[str],
    answers: Sequence[Prediction],
    vocabulary: Vocabulary,
    min_score: float | None,
) -> Answered:
    """Rows of the inputs and their answers, without those that are empty, or whose confidence is
    below `min_score` or no number.

    Raises InvalidInput if none is left.
    """
    scored = [(confidence(answer, vocabulary), answer.prediction) for answer in answers]
    least = -math.inf if min_score is None else min_score
    rows = [
        Example(text, target)
        for text, (score, target) in zip(inputs, scored, strict=True)
        if target.strip() and "\0" not in target and score >= least
    ]
    if not rows:
        best = max((score for score, target in scored if target.strip()), default=math.nan)
        reason = "all are empty" if math.isnan(best) else f"the most certain has {best:.3g}"
        raise InvalidInput(
            f"none of {len(scored)} answers is left ({reason}, in nats a token); ask for less, or "
            "use another prompt",
            field="min_score",
        )
    return Answered(rows, len(scored) - len(rows))


def description(asked: int, left_out: int, min_score: float | None) -> str:
    """What a dataset of such rows says of itself; its prompt is told apart, to whom may know it."""
    text = f"Answers of a prompt to {asked} inputs."
    if not left_out:
        return text
    least = "empty ones" if min_score is None else f"those below {min_score:g} nats a token"
    return f"{text} {left_out} were left out: {least}."
