"""A job that tunes a general prompt and one a task: a loop of steps on this host."""

from __future__ import annotations

import concurrent.futures
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from ptsys.engine.multitask import MultiTaskTraining, TaskData
from ptsys.errors import InvalidInput, Unavailable
from ptsys.prompts.multitask import TaskPart
from ptsys.types.example import digest
from ptsys.types.input_notes import InputNotes
from ptsys.types.multitask import MultiTaskSpec, TaskSpec
from workers import outcome
from workers.run import Run

_LOOK_SECONDS = 0.1  # how often a waiting run looks whether it is to stop

Scores = Mapping[int, Mapping[str, float]]


class _Halted(Exception):
    """The run is to stop; see its hold for why."""


class MultiTaskRun(Run[MultiTaskSpec]):
    """One run of such a job. A step asks the engine for all tasks' gradients at once."""

    def train(self) -> None:
        """The whole run. Raises LeaseLost, or what makes the job fail."""
        training = self._prepare()
        try:
            self._learn(training)
            scores = self._evaluate(training) if training.scored else {}
        except _Halted:
            self._give_back(training)
        except Unavailable:
            if self._hold.halt is None:
                raise
            self._give_back(training)  # the engine takes no more: its worker drains
        else:
            self._finish(training, scores)

    def _prepare(self) -> MultiTaskTraining:
        self._check_model()
        spec = self._spec
        tasks, texts, digests = [], [], []
        for task in spec.tasks:
            data, digested = self._read(task)
            tasks.append(data)
            texts += data.examples.texts
            digests.append(digested)
        training = MultiTaskTraining(self._engine, spec, self._claim.job.owner, tasks)
        training.begin(np.zeros((spec.source_length, self._bench.config.d_model), np.float32))
        found = self._restore({"datasets": digests}, training.state())
        if found is None:
            self._warn(sum((task.examples.notes for task in tasks), InputNotes()))
            training.begin(self._initial(spec.source_length, texts))
        else:
            training.restore(*found)
        return training

    def _read(self, task: TaskSpec) -> tuple[TaskData, str]:
        """A task's rows, and the digest of those it trains on."""
        examples = self._service.datasets.read(task.dataset)
        try:
            encoded = self._engine.encode(self._spec, examples)
            inputs, targets = self._validation(task.validation)
        except InvalidInput as error:
            raise InvalidInput(f"task {task.name!r}: {error}", field=error.field) from error
        return TaskData(encoded, inputs, targets), digest(examples)

    # ---- while it trains ------------------------------------------------------------------

    def _learn(self, training: MultiTaskTraining) -> None:
        spec, due = self._spec, time.monotonic() + self._pause()
        while training.step < spec.steps:
            training.advance(self._wait)
            step = training.step
            if time.monotonic() >= due:
                self._tell(step, self._metrics(training))
                due = time.monotonic() + self._pause()
            if step == spec.steps:
                return
            if step % spec.checkpoint_every == 0:
                self._tell(step, self._metrics(training))
                self._save(step, training.state())
            if training.scored and step % spec.evaluate_every == 0:
                self._tell(step, self._metrics(training))
                self._evaluate(training)

    def _wait(self, future: concurrent.futures.Future[Any]) -> Any:
        """The future's result. Raises _Halted as soon as the job is to stop: the step under way
        was not made then, and its state is that after the one before."""
        while self._hold.halt is None:
            try:
                return future.result(timeout=_LOOK_SECONDS)
            except concurrent.futures.TimeoutError:
                if future.done():  # the engine's own
                    raise
        raise _Halted

    def _evaluate(self, training: MultiTaskTraining) -> dict[int, dict[str, float]]:
        scores = training.evaluate(self._wait)
        self._event("evaluation", {"step": training.step, **self._scores(scores)})
        return scores

    def _metrics(self, training: MultiTaskTraining) -> dict[str, float]:
        """A step's numbers as they are recorded: `loss` of the batch, `loss/<task>` of each."""
        progress = training.progress
        losses = zip(self._spec.tasks, progress.task_losses.tolist(), strict=True)
        return outcome.finite(
            {
                "loss": progress.loss,
                "gradient_norm": progress.gradient_norm,
                **{f"loss/{task.name}": loss for task, loss in losses},
            }
        )

    def _scores(self, scores: Scores) -> dict[str, float]:
        """`accuracy`, the mean over the tasks, and `accuracy/<task>`; other scores alike."""
        means = _means(scores)
        own = {
            f"{kind}/{self._spec.tasks[task].name}": value
            for task, found in scores.items()
            for kind, value in found.items()
        }
        return outcome.finite({**means, **own})

    # ---- its end --------------------------------------------------------------------------

    def _give_back(self, training: MultiTaskTraining) -> None:
        self._tell(training.step, self._metrics(training))
        self._halted(training.step, training.state())

    def _finish(self, training: MultiTaskTraining, scores: Scores) -> None:
        metrics = self._metrics(training)
        self._tell(training.step, metrics)
        made = [self._general(training, scores)]
        general = made[0].record.id
        made += [
            self._task(training, number, general, scores.get(number, {}))
            for number in range(len(self._spec.tasks))
        ]
        self._succeeded(made, {**metrics, **self._scores(scores)})

    def _general(self, training: MultiTaskTraining, scores: Scores) -> outcome.Made:
        return self._made(
            TaskPart(training.general),
            name=self._spec.name,
            dataset=None,
            scores={**_means(scores), "train_loss": training.progress.loss},
        )

    def _task(
        self, training: MultiTaskTraining, number: int, general: str, scores: Mapping[str, float]
    ) -> outcome.Made:
        task, part = self._spec.tasks[number], training.part(number)
        loss = float(training.progress.task_losses[number])
        made = self._made(
            part,
            name=self._spec.prompt_name(task.name),
            dataset=task.dataset,
            scores={**scores, "train_loss": loss},
            task=number,
        )
        linked = {"general": general, "combination": self._spec.combination, "task": task.name}
        return outcome.Made(made.record.model_copy(update=linked), part)


def _means(scores: Scores) -> dict[str, float]:
    """The mean over the tasks of every score."""
    kinds = {kind for found in scores.values() for kind in found}
    return {
        kind: sum(found[kind] for found in scores.values()) / len(scores) for kind in sorted(kinds)
    }
