"""How good prompts are: found ones on the user's rows, made ones on those to score on."""

from __future__ import annotations

import concurrent.futures
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from ptsys.data.metrics import summarize
from ptsys.engine.augmentation_state import Way
from ptsys.engine.augmentation_task import AugmentationTask, Sources
from ptsys.engine.engine import CALL_ROWS, Engine
from ptsys.library.neighbours import Neighbour

Wait = Callable[[concurrent.futures.Future[Any]], Any]


def tried(
    engine: Engine,
    task: AugmentationTask,
    sources: Sources,
    found: Sequence[Neighbour],
    wait: Wait,
) -> list[Neighbour]:
    """The neighbours with their loss on the user's own rows, which none of them has seen, so that
    it tells well what a prompt knows of the task; the first 64 rows are enough for that. A prompt
    that cannot be read has none."""
    inputs, targets = task.examples.inputs[:CALL_ROWS], task.examples.targets[:CALL_ROWS]
    longest = (task.examples.max_input, task.examples.max_target)
    asked: list[concurrent.futures.Future[Any] | None] = []
    for one in found:
        prompt = sources.tensor(one.prompt.id)
        if prompt is None:
            asked.append(None)
            continue
        asked.append(
            engine.encoded_gradients(inputs, targets, prompt, user=task.user, longest=longest)
        )
    return [
        one if future is None else dataclasses.replace(one, loss=float(wait(future).loss))
        for one, future in zip(found, asked, strict=True)
    ]


@dataclasses.dataclass(frozen=True)
class _Asked:
    """Scores of a prompt on their way."""

    answers: concurrent.futures.Future[Any] | None
    losses: Sequence[concurrent.futures.Future[Any]]


def score(engine: Engine, task: AugmentationTask, ways: Sequence[Way], wait: Wait) -> list[Way]:
    """Score the prompts of all chains that are not yet, at the same time; says whose those are.

    Scores are `accuracy` and `token_f1` of the greedy answers, and `validation_loss`, the mean
    over all target tokens (nats), which tells apart those that answer alike.
    """
    if not task.validation_inputs:
        return []
    open_ways = [way for way in ways if way.failed is None and "validation_loss" not in way.scores]
    for way, asked in [(way, _ask(engine, task, way)) for way in open_ways]:
        if asked.answers is not None:
            answers = [row.prediction for row in wait(asked.answers)]
            way.scores |= summarize(answers, list(task.validation_targets))
        parts = [wait(part) for part in asked.losses]
        tokens = sum(part.tokens for part in parts)
        way.scores["validation_loss"] = sum(part.loss * part.tokens for part in parts) / tokens
    return open_ways


def _ask(engine: Engine, task: AugmentationTask, way: Way) -> _Asked:
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
    return _Asked(answers, losses)
