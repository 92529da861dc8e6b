"""How tuned prompts answer the rows that a meta-prompt is asked with: asked once, before it learns,
and laid beside the rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ptsys.data.features import LIKELY, AnsweredExamples, EncodedExamples
from ptsys.data.mixture_order import joined
from ptsys.training.course import Steps
from ptsys.training.loop import Place


def with_answers(
    place: Place,
    examples: Mapping[int, EncodedExamples],
    prompts: Mapping[int, NDArray[np.float32]],
    weight: float,
    user: str,
) -> Steps[AnsweredExamples]:
    """The rows of several tasks, one after another, with the answers of the prompts [P, D] of those
    that have one; the divergence from these weighs so much."""
    whole = joined(list(examples.values()))
    asked = {
        task: place.engine.likely(examples[task], whole.longest, prompt, user)
        for task, prompt in prompts.items()
    }
    tokens: list[NDArray[np.int32]] = []
    logs: list[NDArray[np.float32]] = []
    weights: list[float] = []
    for task, own in examples.items():
        answers = (yield from place.answer(asked[task])) if task in asked else None
        for row, target in enumerate(own.targets):
            found = _nothing(len(target)) if answers is None else answers[row]
            tokens.append(found[0][: len(target)])
            logs.append(found[1][: len(target)])
            weights.append(0.0 if answers is None else weight)
    fields = {field.name: getattr(whole, field.name) for field in dataclasses.fields(whole)}
    return AnsweredExamples(**fields, tokens=tokens, logs=logs, weights=weights)


def _nothing(length: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    return np.zeros((length, LIKELY), np.int32), np.zeros((length, LIKELY), np.float32)
