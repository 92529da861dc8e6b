"""How good prompts are: found ones on the user's rows, made ones on those to score on."""

from __future__ import annotations

import concurrent.futures
import dataclasses
from collections.abc import Sequence
from typing import Any

from ptsys.data.metrics import summarize
from ptsys.engine.engine import Engine
from ptsys.engine.requests import CALL_ROWS
from ptsys.library.neighbours import Neighbour
from ptsys.training.augmentation.state import Way
from ptsys.training.augmentation.task import AugmentationTask, Sources
from ptsys.training.course import Steps
from ptsys.training.loop import Place


def tried(
    place: Place, task: AugmentationTask, sources: Sources, neighbours: Sequence[Neighbour]
) -> Steps[list[Neighbour]]:
    """The neighbours with their loss on the user's own rows, which none of them has seen, so that
    it tells well what a prompt knows of the task; the first 64 rows are enough for that. A prompt
    that cannot be read has none."""
    inputs, targets = task.examples.inputs[:CALL_ROWS], task.examples.targets[:CALL_ROWS]
    longest = task.examples.longest
    futures: list[concurrent.futures.Future[Any] | None] = []
    for one in neighbours:
        prompt = sources.tensor(one.prompt.id)
        if prompt is None:
            futures.append(None)
            continue
        futures.append(
            place.engine.encoded_gradients(inputs, targets, prompt, user=task.user, longest=longest)
        )
    scored = []
    for one, future in zip(neighbours, futures, strict=True):
        if future is None:
            scored.append(one)
        else:
            result = yield from place.answer(future)
            scored.append(dataclasses.replace(one, loss=float(result.loss)))
    return scored


@dataclasses.dataclass(frozen=True)
class _Pending:
    """Scores of a prompt on their way."""

    answers: concurrent.futures.Future[Any] | None
    losses: Sequence[concurrent.futures.Future[Any]]


def score(place: Place, task: AugmentationTask, ways: Sequence[Way]) -> Steps[list[Way]]:
    """Score the prompts of all chains that are not yet, at the same time; says whose those are.

    Scores are `accuracy` and `token_f1` of the greedy answers, and `validation_loss`, the mean
    over all target tokens (nats), which tells apart those that answer alike.
    """
    if not task.validation_inputs:
        return []
    open_ways = [way for way in ways if way.failed is None and "validation_loss" not in way.scores]
    for way, pending in [(way, _ask(place.engine, task, way)) for way in open_ways]:
        if pending.answers is not None:
            answers = yield from place.answer(pending.answers)
            predictions = [row.prediction for row in answers]
            way.scores |= summarize(predictions, list(task.validation_targets))
        parts = []
        for future in pending.losses:
            parts.append((yield from place.answer(future)))
        tokens = sum(part.tokens for part in parts)
        way.scores["validation_loss"] = sum(part.loss * part.tokens for part in parts) / tokens
    return open_ways


def _ask(engine: Engine, task: AugmentationTask, way: Way) -> _Pending:
    prompt = way.snapshot.prompt
    inputs, targets = list(task.validation_inputs), list(task.validation_targets)
    answers = None
    if "accuracy" not in way.scores:
        answers = engine.evaluate(inputs, targets, prompt, task.user)
    losses = [
        engine.gradients(
            inputs[start : start + CALL_ROWS],
            targets[start : start + CALL_ROWS],
            prompt,
            user=task.user,
        )
        for start in range(0, len(inputs), CALL_ROWS)
    ]
    return _Pending(answers, losses)
