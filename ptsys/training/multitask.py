"""The training of a general prompt and one a task, together."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Mapping, Sequence
from typing import Any

from ptsys.engine.multitask import MultiTaskTraining
from ptsys.prompts.multitask import TaskPart
from ptsys.training.course import (
    Checkpoint,
    Completed,
    Ending,
    Interruption,
    Listener,
    Steps,
    finite,
)
from ptsys.training.loop import Place
from ptsys.training.single import LastRows
from ptsys.training.trained import Trained
from ptsys.types.multitask import MultiTaskSpec

_LOOK_SECONDS = 0.1  # how often it is looked whether a step's answers will not come

Scores = dict[int, dict[str, float]]
"""A task's scores, by its number."""


class MultiTask:
    """The course of such a training. A step asks the engine for all tasks' gradients at once."""

    def __init__(
        self,
        training: MultiTaskTraining,
        spec: MultiTaskSpec,
        user: str,
        listener: Listener,
        last: Sequence[LastRows | None] = (),
    ) -> None:
        """`training` has begun, or is restored; `last` are each task's rows that its prompt is
        scored on once it is done."""
        self._training = training
        self._spec = spec
        self._user = user
        self._listener = listener
        self._last = last

    def run(self, place: Place) -> Steps[Ending]:
        """All steps, and the scores at their end."""
        training, spec = self._training, self._spec
        while training.step < spec.steps:
            training.advance(lambda future: self._wait(place, future))
            if training.step < spec.steps:
                self._after(place)
            place.wake()
            yield
        self.tell()
        scores = self._evaluate(place) if training.scored else {}
        tests = yield from self._tests(place)
        return self._completed(scores, tests)

    def tell(self) -> None:
        """The step that is reached."""
        self._listener.progress(self._training.step, self._metrics())

    def checkpoint(self) -> Checkpoint | None:
        """After the last whole step."""
        training = self._training
        if training.step == 0:
            return None
        return Checkpoint(training.step, training.state(), metrics=self._metrics())

    def _after(self, place: Place) -> None:
        """A step was made: keep and score what is due."""
        step = self._training.step
        if step % self._spec.checkpoint_every == 0:
            checkpoint = self.checkpoint()
            assert checkpoint is not None
            self.tell()
            self._listener.checkpoint(checkpoint)
        if self._training.scored and step % self._spec.evaluate_every == 0:
            self.tell()
            self._evaluate(place)

    def _wait(self, place: Place, future: concurrent.futures.Future[Any]) -> Any:
        while not future.done():
            place.check()
            if place.stopping:
                raise Interruption
            concurrent.futures.wait([future], _LOOK_SECONDS)
        return future.result()

    def _evaluate(self, place: Place) -> Scores:
        scores = self._training.evaluate(lambda future: self._wait(place, future))
        self._listener.evaluation(self._training.step, self._flat(scores))
        return scores

    def _tests(self, place: Place) -> Steps[Scores]:
        scores: Scores = {}
        for number, rows in enumerate(self._last):
            if rows is not None:
                prompt = self._training.combined(number)
                future = place.engine.evaluate(rows.inputs, rows.targets, prompt, self._user)
                answers = yield from place.answer(future)
                scores[number] = rows.scores([answer.prediction for answer in answers])
        return scores

    # ---- numbers --------------------------------------------------------------------------

    def _metrics(self) -> dict[str, float]:
        """A step's numbers: `loss` of the batch, `loss/<task>` of each."""
        progress = self._training.progress
        losses = zip(self._spec.tasks, progress.task_losses.tolist(), strict=True)
        return finite(
            {
                "loss": progress.loss,
                "gradient_norm": progress.gradient_norm,
                **{f"loss/{task.name}": loss for task, loss in losses},
            }
        )

    def _flat(self, scores: Mapping[int, Mapping[str, float]]) -> dict[str, float]:
        """`accuracy`, the mean over the tasks, and `accuracy/<task>`; other scores alike."""
        of_each = {
            f"{kind}/{self._spec.tasks[task].name}": value
            for task, of_task in scores.items()
            for kind, value in of_task.items()
        }
        return finite({**means(scores), **of_each})

    # ---- the end --------------------------------------------------------------------------

    def _completed(self, scores: Scores, tests: Scores) -> Completed:
        spec, training = self._spec, self._training
        every = {n: {**scores.get(n, {}), **tests.get(n, {})} for n in range(len(spec.tasks))}
        general = Trained(
            name=spec.name,
            part=TaskPart(training.general),
            dataset=None,
            scores={**means(every), "train_loss": training.progress.loss},
            steps=spec.steps,
        )
        losses = training.progress.task_losses.tolist()
        specific = (
            Trained(
                name=spec.prompt_name(task.name),
                part=training.part(number),
                dataset=task.dataset,
                scores={**every[number], "train_loss": losses[number]},
                steps=spec.steps,
                task=number,
            )
            for number, task in enumerate(spec.tasks)
        )
        metrics = {**self._metrics(), **self._flat(scores)}
        return Completed((general, *specific), spec.steps, metrics)


def means(scores: Mapping[int, Mapping[str, float]]) -> dict[str, float]:
    """The mean of every score over the tasks that have it."""
    kinds = sorted({kind for of_task in scores.values() for kind in of_task})
    values = {kind: [x[kind] for x in scores.values() if kind in x] for kind in kinds}
    return {kind: sum(of_kind) / len(of_kind) for kind, of_kind in values.items()}
