"""The training of one prompt."""

from __future__ import annotations

import math

from ptsys.engine import trainings
from ptsys.engine.trainings import Progress, Snapshot, TrainingTask
from ptsys.training.course import Checkpoint, Completed, Listener, Steps, finite
from ptsys.training.last_rows import LastRows, last_scores
from ptsys.training.loop import Place
from ptsys.training.resident import ResidentTraining, numbers
from ptsys.training.trained import Trained
from ptsys.types.training import TrainingSpec


class SingleTraining(ResidentTraining):
    """The course of one prompt."""

    def __init__(
        self,
        task: TrainingTask,
        listener: Listener,
        *,
        loss: float = math.nan,
        last: LastRows | None = None,
    ) -> None:
        """`loss` is that of the step the task starts from, if it is known; `last` are rows that
        the prompt is scored on once it is done."""
        super().__init__(task, listener)
        self._loss = loss
        self._last = last

    def _checkpoint(self, snapshot: Snapshot, progress: Progress | None) -> Checkpoint:
        if progress is not None and math.isfinite(progress.loss):
            self._loss = progress.loss
        return Checkpoint(
            step=snapshot.step,
            arrays=snapshot.state(),
            notes=finite({"loss": self._loss}),
            metrics={} if progress is None else finite(numbers(progress)),
        )

    def _metrics(self, progress: Progress) -> dict[str, float]:
        return numbers(progress)

    def _scores(self, event: trainings.Evaluated | trainings.Finished) -> dict[str, float]:
        return event.scores

    def _finish(self, place: Place, event: trainings.Finished) -> Steps[Completed]:
        task, progress = self._task, self._progress
        assert progress is not None
        assert isinstance(task.spec, TrainingSpec)
        loss = progress.loss if math.isfinite(progress.loss) else self._loss
        scores = {**event.scores, "train_loss": loss}
        if self._last is not None:
            values = event.snapshot.values
            scores |= yield from last_scores(place, self._last, values, task.user)
        made = Trained(
            name=task.spec.name,
            values=event.snapshot.values,
            kind=task.kind,
            dataset=task.spec.dataset,
            scores=scores,
            steps=task.spec.steps,
        )
        metrics = finite({**numbers(progress), **event.scores})
        return Completed((made,), task.spec.steps, metrics)
