"""The training of one prompt: a resident of the engine."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from ptsys.data.metrics import Scorer
from ptsys.engine import trainings
from ptsys.engine.trainings import Progress, Snapshot, Training, TrainingTask
from ptsys.errors import InvalidInput
from ptsys.prompts.multitask import TaskPart
from ptsys.training.course import (
    Checkpoint,
    Completed,
    Ending,
    Failed,
    Interruption,
    Listener,
    Steps,
    finite,
)
from ptsys.training.loop import Place
from ptsys.training.trained import Trained


@dataclasses.dataclass(frozen=True)
class LastRows:
    """Rows that a prompt is scored on once it is done; their scores are called `test_…`."""

    inputs: Sequence[str]
    targets: Sequence[str]
    score: Scorer

    def scores(self, predictions: Sequence[str]) -> dict[str, float]:
        """Of these answers. Raises InvalidInput if the metric fails, which may be a task's own."""
        try:
            scores = self.score(predictions, list(self.targets))
        except Exception as error:
            raise InvalidInput(
                f"a metric failed: {type(error).__name__}: {error}", field="tasks"
            ) from error
        return {f"test_{name}": value for name, value in scores.items()}


class SingleTraining:
    """The course of one prompt."""

    def __init__(
        self,
        task: TrainingTask,
        listener: Listener,
        *,
        loss: float = math.nan,
        last: LastRows | None = None,
    ) -> None:
        """`loss` is that of the step the task starts from, if it is known."""
        self._task = task
        self._listener = listener
        self._loss = loss
        self._last = last
        self._training: Training | None = None
        self._snapshot = task.start

    def run(self, place: Place) -> Steps[Ending]:
        """All steps, and the scores at their end."""
        training = self._training = place.train(self._task)
        while True:
            event = yield from place.event(training)
            if isinstance(event, trainings.Checkpointed):
                self._checkpointed(event, stale=not training.events.empty())
            elif isinstance(event, trainings.Evaluated):
                self.tell()
                self._listener.evaluation(event.step, finite(event.scores))
            elif isinstance(event, trainings.Finished):
                return (yield from self._finish(place, event))
            elif isinstance(event, trainings.Stopped):
                self._snapshot = event.snapshot
                raise Interruption
            else:
                return Failed(event.message, event.traceback, event.retry)

    def tell(self) -> None:
        """The last finished step."""
        if self._training is not None:
            progress = self._training.progress
            self._listener.progress(progress.step, metrics(progress))

    def checkpoint(self) -> Checkpoint | None:
        """Of the state it left the device with."""
        progress = None if self._training is None else self._training.progress
        return self._checkpoint(self._snapshot, progress) if self._snapshot.step > 0 else None

    def _checkpointed(self, event: trainings.Checkpointed, *, stale: bool) -> None:
        self.tell()
        checkpoint = self._checkpoint(event.snapshot, event.progress)
        self._listener.checkpoint(dataclasses.replace(checkpoint, stale=stale))

    def _checkpoint(self, snapshot: Snapshot, progress: Progress | None) -> Checkpoint:
        if progress is not None and math.isfinite(progress.loss):
            self._loss = progress.loss
        return Checkpoint(
            step=snapshot.step,
            arrays=state_of(snapshot),
            notes=finite({"loss": self._loss}),
            metrics={} if progress is None else metrics(progress),
        )

    def _finish(self, place: Place, event: trainings.Finished) -> Steps[Completed]:
        assert self._training is not None
        self.tell()
        self._snapshot, task, progress = event.snapshot, self._task, self._training.progress
        loss = progress.loss if math.isfinite(progress.loss) else self._loss
        scores = {**event.scores, "train_loss": loss}
        if self._last is not None:
            prompt, last = event.snapshot.prompt, self._last
            answers = place.engine.evaluate(last.inputs, last.targets, prompt, task.user)
            scores |= last.scores([row.prediction for row in (yield from place.answer(answers))])
        made = Trained(
            name=task.spec.name,
            part=TaskPart(event.snapshot.prompt),
            dataset=getattr(task.spec, "dataset", None),
            scores=scores,
            steps=task.spec.steps,
        )
        numbers = {**metrics(progress), **finite(event.scores)}
        return Completed((made,), task.spec.steps, numbers)


def state_of(snapshot: Snapshot) -> dict[str, Any]:
    """A snapshot's arrays as they are checkpointed."""
    return snapshot.state()


def metrics(progress: Progress) -> dict[str, float]:
    """A step's numbers as they are told."""
    return finite({"loss": progress.loss, "gradient_norm": progress.gradient_norm})
