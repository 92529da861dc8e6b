"""A job that tunes one prompt: a resident of the engine."""

from __future__ import annotations

import queue

import numpy as np

from ptsys.engine.residents import (
    Checkpointed,
    Evaluated,
    Failed,
    Finished,
    Progress,
    Snapshot,
    Stopped,
    Training,
    TrainingEvent,
    TrainingTask,
)
from ptsys.prompts.multitask import TaskPart
from ptsys.store.job_checkpoints import State
from ptsys.types.example import digest
from ptsys.types.training import TrainingSpec
from workers import outcome
from workers.holds import Halt
from workers.run import Run


class TrainingRun(Run[TrainingSpec]):
    """One run of such a job: the engine trains, and this listens to what it tells."""

    def train(self) -> None:
        """The whole run. Raises LeaseLost, or what makes the job fail."""
        task = self._prepare()
        if self._hold.halt is not None:
            self._halted()
            return
        training = self._engine.train(task)
        self._hold.attach(training)
        while self._hold.halt is not Halt.LOST:
            event = self._next(training)
            if event is not None and self._consume(training, event):
                return

    def _prepare(self) -> TrainingTask:
        self._check_model()
        spec, claim = self._spec, self._claim
        examples = self._service.datasets.read(spec.dataset)
        encoded = self._engine.encode(spec, examples)
        inputs, targets = self._validation(spec.validation)
        blank = np.zeros((spec.length, self._bench.config.d_model), np.float32)
        found = self._restore({"dataset": digest(examples)}, _state(Snapshot.start(blank)))
        if found is None:
            self._warn(encoded.notes)
            start = Snapshot.start(self._initial(spec.length, encoded.texts))
        else:
            start = Snapshot(found[0], **found[1])
        return TrainingTask(
            id=f"{claim.job.id}#{claim.fence}",  # a job may come back before its last run left
            user=claim.job.owner,
            spec=spec,
            examples=encoded,
            start=start,
            validation_inputs=inputs,
            validation_targets=targets,
        )

    def _next(self, training: Training) -> TrainingEvent | None:
        try:
            event = training.events.get(timeout=self._pause())
        except queue.Empty:
            self._tell_of(training.progress)
            return None
        if isinstance(event, Checkpointed | Evaluated | Finished):
            self._tell_of(training.progress)
        return event

    def _tell_of(self, progress: Progress) -> None:
        self._tell(progress.step, _metrics(progress))

    def _consume(self, training: Training, event: TrainingEvent) -> bool:
        """Do what the event asks for; True if it was the last one."""
        if isinstance(event, Checkpointed):
            self._save(event.snapshot.step, _state(event.snapshot))
            return False
        if isinstance(event, Evaluated):
            data = {"step": event.step, **outcome.finite(event.scores)}
            self._event("evaluation", data)
            return False
        if isinstance(event, Finished):
            self._finished(training.progress, event)
        elif isinstance(event, Stopped):
            self._tell_of(training.progress)
            self._halted(event.snapshot.step, _state(event.snapshot))
        else:
            self._failed(event)
        return True

    def _finished(self, progress: Progress, event: Finished) -> None:
        made = self._made(
            TaskPart(event.snapshot.prompt),
            name=self._spec.name,
            dataset=self._spec.dataset,
            scores={**event.scores, "train_loss": progress.loss},
        )
        self._succeeded([made], {**_metrics(progress), **outcome.finite(event.scores)})

    def _failed(self, event: Failed) -> None:
        if event.retry and self._hold.halt is Halt.GIVE_BACK:
            self._halted()  # the device left, by no fault of the job
            return
        job = outcome.record_failure(
            self._service, self._claim, event.message, event.traceback, retry=event.retry
        )
        self._ended(job.state.final)


def _state(snapshot: Snapshot) -> State:
    return {"prompt": snapshot.prompt, "first": snapshot.first, "second": snapshot.second}


def _metrics(progress: Progress) -> dict[str, float]:
    """A step's numbers as they are recorded."""
    return outcome.finite({"loss": progress.loss, "gradient_norm": progress.gradient_norm})
