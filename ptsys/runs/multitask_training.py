"""The steps of a multi-task run: on a thread of their own, so that a signal, which comes to the
main thread, finds nothing half done."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import math
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ptsys.engine.engine import Engine
from ptsys.engine.multitask import MultiTaskTraining, TaskData
from ptsys.engine.workbench import Workbench
from ptsys.errors import InvalidInput, Unavailable
from ptsys.progress_lines import ProgressLines
from ptsys.runs.run_metrics import RunMetrics
from ptsys.runs.tasks.task import Task
from ptsys.store.job_checkpoints import JobCheckpoints
from ptsys.types.example import digest
from ptsys.types.multitask import MultiTaskSpec

if TYPE_CHECKING:
    from ptsys.runs.multitask import MultiTask

_LOOK_SECONDS = 0.1  # how often a waiting run looks whether it is to stop

Scores = dict[int, dict[str, float]]
"""A task's scores, by its number."""


class _Halted(Exception):
    """The run is to stop."""


@dataclasses.dataclass(frozen=True)
class Learned:
    """Parts that have learned, each task's scores, and checkpoints that are to be forgotten once
    the prompts are recorded."""

    training: MultiTaskTraining
    scores: Scores
    checkpoints: JobCheckpoints

    def forget(self) -> None:
        """The prompts are recorded."""
        self.checkpoints.forget()


def train_together(
    config: MultiTask,
    bench: Workbench,
    engine: Engine,
    tasks: Sequence[Task],
    spec: MultiTaskSpec,
    checkpoints: Path,
    metrics: RunMetrics,
) -> Learned:
    """Train from the last checkpoint on, if there is one. `engine` is not started yet.

    On KeyboardInterrupt the step that is reached is checkpointed, before that is raised again.
    """
    run = _Run(config, bench, engine, tasks, spec, checkpoints, metrics)
    engine.start()
    with concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="steps") as pool:
        running = pool.submit(run.learn)
        try:
            return running.result()
        except KeyboardInterrupt:
            run.say("stopping: the step reached is checkpointed; run again to go on")
            run.halt.set()
            concurrent.futures.wait([running])
            raise


class _Run:
    """One run's training."""

    def __init__(
        self,
        config: MultiTask,
        bench: Workbench,
        engine: Engine,
        tasks: Sequence[Task],
        spec: MultiTaskSpec,
        checkpoints: Path,
        metrics: RunMetrics,
    ) -> None:
        self.halt = threading.Event()
        self._config = config
        self._bench = bench
        self._engine = engine
        self._tasks = tasks
        self._spec = spec
        self._metrics = metrics
        self._console = Console(stderr=True, highlight=False)
        self._data = [self._encoded(task) for task in tasks]
        self._checkpoints = JobCheckpoints(checkpoints / spec.name, self._identity())

    def say(self, text: str) -> None:
        """Something for people."""
        self._console.print(text, markup=False, soft_wrap=True)

    def learn(self) -> Learned:
        """All steps, and the scores at their end. Raises InvalidInput if a loss is no longer
        finite."""
        training = self._begun()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]}"),
            TimeRemainingColumn(),
        )
        quiet = not self._console.is_terminal
        lines = None
        if quiet:
            lines = ProgressLines(
                self.say, "steps", self._spec.steps, done=training.step, at_once=True
            )
        try:
            with Progress(*columns, console=self._console, disable=quiet) as bars:
                bar = bars.add_task("steps", total=self._spec.steps, loss="-")
                while training.step < self._spec.steps:
                    training.advance(self._wait)
                    loss = f"{training.progress.loss:.3f}"
                    bars.update(bar, completed=training.step, loss=loss)
                    if lines is not None:
                        lines.tell(training.step, loss=loss)
                    self._after(training)
                scores = self._scores(training)
        except _Halted:
            self._save(training)
            raise
        finally:
            self._checkpoints.close()
        return Learned(training, scores, self._checkpoints)

    # ---- before ---------------------------------------------------------------------------

    def _encoded(self, task: Task) -> TaskData:
        scored = self._config.scored_rows(task)
        return TaskData(
            self._engine.encode(self._spec, task.rows("train")),
            [row.input for row in scored],
            [row.target or "" for row in scored],
            lambda answers, _: task.score("validation", answers),
        )

    def _identity(self) -> dict[str, Any]:
        return {
            "spec": self._spec.model_dump(
                mode="json", exclude={"checkpoint_every", "evaluate_every", "tags", "truncate"}
            ),
            "datasets": [digest(task.rows("train")) for task in self._tasks],
            "fingerprint": self._bench.served.fingerprint,
        }

    def _begun(self) -> MultiTaskTraining:
        spec, owner = self._spec, self._config.owner or "local"
        training = MultiTaskTraining(self._engine, spec, owner, self._data)
        blank = np.zeros((spec.source_length, self._bench.config.d_model), np.float32)
        training.begin(blank)
        found = self._checkpoints.restore(training.state())
        if found is not None:
            training.restore(*found)
            self.say(f"going on from step {training.step}")
            return training
        texts = [text for data in self._data for text in data.examples.texts]
        training.begin(self._bench.initial(spec, spec.source_length, texts))
        return training

    # ---- on the way -----------------------------------------------------------------------

    def _wait(self, future: concurrent.futures.Future[Any]) -> Any:
        """The future's result. Raises _Halted as soon as the run is to stop: the step under way
        was not made then."""
        while not self.halt.is_set():
            try:
                return future.result(timeout=_LOOK_SECONDS)
            except concurrent.futures.TimeoutError:
                if future.done():  # the engine's own
                    raise
                if not self._engine.alive:
                    raise Unavailable(
                        "the device thread ended by itself; run again to go on"
                    ) from None
        raise _Halted

    def _after(self, training: MultiTaskTraining) -> None:
        """A step was made: tell, keep and score what is due."""
        step, spec = training.step, self._spec
        last = step == spec.steps
        if last or step % spec.checkpoint_every == 0:
            self._tell(training)
            self._save(training)
        if not last and step % spec.evaluate_every == 0 and training.scored:
            for number, scores in training.evaluate(self._wait).items():
                self._metrics.write(self._name(number), step, **scores)

    def _tell(self, training: MultiTaskTraining) -> None:
        told = training.progress
        values = {"loss": told.loss, "gradient_norm": told.gradient_norm}
        self._metrics.write(self._spec.name, training.step, **values)
        for number, loss in enumerate(told.task_losses.tolist()):
            if math.isfinite(loss):
                self._metrics.write(self._name(number), training.step, loss=loss)

    def _save(self, training: MultiTaskTraining) -> None:
        """Write a checkpoint. If that is impossible, training goes on: the next one may be."""
        if training.step == 0:
            return
        try:
            self._checkpoints.save(training.step, training.state())
        except Exception as error:  # Orbax and TensorStore raise many kinds
            reason = str(error).partition("\n")[0]
            self.say(f"the checkpoint of step {training.step} was not written: {reason}")

    def _name(self, task: int) -> str:
        return self._spec.prompt_name(self._spec.tasks[task].name)

    # ---- the end --------------------------------------------------------------------------

    def _scores(self, training: MultiTaskTraining) -> Scores:
        """Each task's scores on its validation rows, and as `test_…` on its test rows."""
        found: Scores = {number: {} for number in range(len(self._tasks))}
        if training.scored:
            found |= training.evaluate(self._wait)
        if "test" in self._config.evaluate_on:
            for number, task in enumerate(self._tasks):
                found[number] |= self._tested(training, number, task)
        for number, scores in found.items():
            self._metrics.write(self._name(number), training.step, **scores)
        return found

    def _tested(self, training: MultiTaskTraining, number: int, task: Task) -> dict[str, float]:
        rows = task.rows("test")
        if not rows:
            return {}
        inputs, targets = [row.input for row in rows], [row.target or "" for row in rows]
        user = self._config.owner or "local"
        future = self._engine.evaluate(inputs, targets, training.combined(number), user)
        answers = [answer.prediction for answer in self._wait(future)]
        try:
            scores = task.score("test", answers)
        except Exception as error:  # the task may bring metrics of its own
            raise InvalidInput(
                f"a metric of {task.title!r} failed: {type(error).__name__}: {error}", field="tasks"
            ) from error
        return {f"test_{name}": value for name, value in scores.items()}
