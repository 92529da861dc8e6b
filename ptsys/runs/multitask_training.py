"""The training of a multi-task run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ptsys.engine.engine import Engine
from ptsys.engine.workbench import Workbench
from ptsys.runs.run_metrics import RunMetrics
from ptsys.runs.run_training import RunTraining
from ptsys.runs.tasks.task import Task
from ptsys.training.course import Checkpoint, Completed
from ptsys.training.last_rows import LastRows
from ptsys.training.multitask import MultiTaskTraining, TaskData, blank_arrays
from ptsys.types.example import Example, digest
from ptsys.types.multitask import MultiTaskSpec

if TYPE_CHECKING:
    from ptsys.runs.multitask import MultiTask


class MultiTaskRunTraining(RunTraining):
    """See the module."""

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
        digests = [digest(task.rows("train")) for task in tasks]
        super().__init__(bench, engine, spec, digests, checkpoints, metrics)
        self._config = config
        self._tasks = tasks
        self._spec = spec
        self._names = {task.name: spec.prompt_name(task.name) for task in spec.tasks}

    def _prepare(self) -> tuple[MultiTaskTraining, int]:
        spec, bench = self._spec, self._bench
        data = [self._encoded(task) for task in self._tasks]
        restored = self._checkpoints.restore_noted(blank_arrays(spec, bench.config.d_model))
        start = None if restored is None else Checkpoint(*restored)
        if start is not None:
            self.note(f"going on from step {start.step}")
        texts = [text for task in data for text in task.examples.texts]
        training = MultiTaskTraining(
            spec.name,
            self._config.owner or "local",
            spec,
            data,
            start or bench.initial(spec, spec.source_length, texts),
            self,
        )
        return training, 0 if start is None else start.step

    def _encoded(self, task: Task) -> TaskData:
        scored = self._config.scored_rows(task)
        tests = task.rows("test") if "test" in self._config.evaluate_on else []
        last = LastRows(*_split(tests), lambda answers, _: task.score("test", answers))
        return TaskData(
            self._engine.encode(self._spec, task.rows("train")),
            *_split(scored),
            lambda answers, _: task.score("validation", answers),
            last if tests else None,
        )

    def _line(self, task: str) -> str:
        return self._names.get(task, self._name)

    def _told(self, ending: Completed) -> None:
        for prompt in ending.prompts[1:]:
            scores = {name: x for name, x in prompt.scores.items() if name != "train_loss"}
            self._metrics.write(prompt.name, ending.step, **scores)


def _split(rows: Sequence[Example]) -> tuple[list[str], list[str]]:
    """Inputs and targets."""
    return [row.input for row in rows], [row.target or "" for row in rows]
