"""Scores of a prompt under way, on the rows that its job brings for it."""

from __future__ import annotations

import concurrent.futures
import functools
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ptsys.engine.trainings import (
    Evaluated,
    Failed,
    Finished,
    Snapshot,
    Training,
    TrainingTask,
    Validation,
)
from ptsys.kinds.trees import Tree

Evaluate = Callable[[TrainingTask, Tree, Validation], "concurrent.futures.Future[list[Any]]"]
"""Asks for answers to validation rows with the arrays that a task has learned."""

Scores = Mapping[str, float]


class Evaluation:
    """Asks for answers as any user does, and tells a training its scores."""

    def __init__(self, ask: Evaluate, at_fault: Callable[[Training, str], None]) -> None:
        """`at_fault` is called for a training whose own metric fails."""
        self._ask = ask
        self._at_fault = at_fault

    def begin(self, training: Training, snapshot: Snapshot, *, last: bool) -> None:
        """Score a snapshot; the `last` one ends the training, also where there are no rows."""
        validations = list(training.task.validations)
        if not validations:
            if last:
                training.put(Finished(snapshot, {}))
            return
        results = _Results(validations)
        for number, one in enumerate(validations):
            answers = self._ask(training.task, snapshot.values, one)
            answers.add_done_callback(
                functools.partial(self._answered, training, snapshot, results, number, last)
            )

    def _answered(
        self,
        training: Training,
        snapshot: Snapshot,
        results: _Results,
        number: int,
        last: bool,
        future: concurrent.futures.Future[Any],
    ) -> None:
        error = future.exception()
        if error is not None:
            trace = "".join(traceback.format_exception(error))
            if last:
                training.put(Failed(f"evaluation failed: {error}", trace, retry=True))
            return
        try:
            whole = results.add(number, [row.prediction for row in future.result()])
        except Exception as wrong:  # the task may bring metrics of its own
            self._at_fault(training, f"a metric failed: {type(wrong).__name__}: {wrong}")
            return
        if whole is None:
            return
        training.put(Evaluated(snapshot, mean_scores(whole), whole))
        if last:
            training.put(Finished(snapshot, mean_scores(whole), whole))


class _Results:
    """The scores of one evaluation as they come, from any thread."""

    def __init__(self, validations: Sequence[Validation]) -> None:
        self._validations = validations
        self._scores: dict[int, dict[str, float]] = {}
        self._lock = threading.Lock()

    def add(self, number: int, answers: Sequence[str]) -> dict[int, dict[str, float]] | None:
        """Score the answers to the rows of that number; each member's scores once all are there.
        Raises what the metric raises."""
        validation = self._validations[number]
        scores = dict(validation.score(list(answers), list(validation.targets)))
        with self._lock:
            self._scores[number] = scores
            if len(self._scores) < len(self._validations):
                return None
        return {
            validation.member: self._scores[number]
            for number, validation in enumerate(self._validations)
        }


def mean_scores(members: Mapping[int, Scores]) -> dict[str, float]:
    """The mean over the members of every score, over those that have it."""
    kinds = sorted({kind for scores in members.values() for kind in scores})
    means = {}
    for kind in kinds:
        values = [scores[kind] for scores in members.values() if kind in scores]
        means[kind] = sum(values) / len(values)
    return means
