"""The course of a training that is one resident of the engine, whatever its prompt is made of."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Sequence
from typing import Any

from ptsys.engine import trainings
from ptsys.engine.trainings import Progress, Snapshot, Training, TrainingTask
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


class ResidentTraining(abc.ABC):
    """What such trainings have in common: the engine trains, the listener hears."""

    def __init__(self, task: TrainingTask, listener: Listener) -> None:
        """The task starts from its first step, or from a checkpoint."""
        self._task = task
        self._listener = listener
        self._training: Training | None = None
        self._snapshot = task.start

    def run(self, place: Place) -> Steps[Ending]:
        """All steps, and the scores at their end."""
        yield from self._begin(place)
        training = self._training = place.train(self._task)
        while True:
            event = yield from place.event(training)
            if isinstance(event, trainings.Failed):
                return Failed(event.message, event.traceback, event.retry)
            if isinstance(event, trainings.Stopped):
                self._snapshot = event.snapshot
                return (yield from self._stopped(place, event))
            self.tell()
            if isinstance(event, trainings.Checkpointed):
                self._keep(event, training)
            elif isinstance(event, trainings.Evaluated):
                self._judge(event, training)
            else:
                self._snapshot = event.snapshot
                return (yield from self._finish(place, event))

    def _begin(self, place: Place) -> Steps[None]:
        """What is done before the first step: nothing."""
        yield from ()

    def _keep(self, event: trainings.Checkpointed, training: Training) -> None:
        """Tell of a state to resume from."""
        checkpoint = self._checkpoint(event.snapshot, event.progress)
        stale = not training.events.empty()
        self._listener.checkpoint(dataclasses.replace(checkpoint, stale=stale))

    def _judge(self, event: trainings.Evaluated, training: Training) -> None:
        """Tell the scores."""
        self._listener.evaluation(event.step, finite(self._scores(event)))

    def _stopped(self, place: Place, event: trainings.Stopped) -> Steps[Ending]:
        """How it ends where it left early. Raises Interruption, as it was told to stop."""
        yield from ()
        raise Interruption

    def tell(self) -> None:
        """The last finished step."""
        if self._training is not None:
            progress = self._training.progress
            self._listener.progress(progress.step, finite(self._metrics(progress)))

    def checkpoint(self) -> Checkpoint | None:
        """Of the state it left the device with."""
        if self._snapshot.step == 0:
            return None
        return self._checkpoint(self._snapshot, self._progress)

    @property
    def _progress(self) -> Progress | None:
        return None if self._training is None else self._training.progress

    @abc.abstractmethod
    def _checkpoint(self, snapshot: Snapshot, progress: Progress | None) -> Checkpoint:
        """Of this state, which the step of that progress led to."""

    @abc.abstractmethod
    def _metrics(self, progress: Progress) -> dict[str, float]:
        """A step's numbers."""

    @abc.abstractmethod
    def _scores(self, event: trainings.Evaluated | trainings.Finished) -> dict[str, float]:
        """Of the prompt that was scored."""

    @abc.abstractmethod
    def _finish(self, place: Place, event: trainings.Finished) -> Steps[Completed]:
        """What the training made."""


def numbers(progress: Progress) -> dict[str, Any]:
    """Loss (nats a token) and gradient norm of a step."""
    return {"loss": progress.loss, "gradient_norm": progress.gradient_norm}


def of_members(
    event: trainings.Evaluated | trainings.Finished, names: Sequence[str]
) -> dict[str, float]:
    """The scores of all members together, and `<score>/<name>` of each."""
    of_each = {
        f"{kind}/{names[number]}": value
        for number, scores in event.member_scores.items()
        for kind, value in scores.items()
    }
    return {**event.scores, **of_each}
