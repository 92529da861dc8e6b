"""The training of a run that trains a meta-prompt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ptsys.engine.engine import Engine
from ptsys.engine.workbench import Workbench
from ptsys.kinds.trees import Tree
from ptsys.library.domain import tuned_vectors
from ptsys.prompts.check import MAX_LENGTH
from ptsys.prompts.storage import load_reading
from ptsys.prompts.tokens import tokens
from ptsys.runs.run_metrics import RunMetrics
from ptsys.runs.run_training import RunTraining
from ptsys.runs.tasks.task import Task
from ptsys.store.prompts import Prompts
from ptsys.training.course import Checkpoint, Completed, Course
from ptsys.training.meta import MetaTaskData, tuned_rows
from ptsys.training.meta_taught import blank_arrays, meta_training
from ptsys.training.start import first_meta_prompt
from ptsys.types.example import digest
from ptsys.types.meta_training import MetaSpec, MetaTask


class MetaRunTraining(RunTraining):
    """See the module."""

    def __init__(
        self,
        bench: Workbench,
        engine: Engine,
        tasks: Sequence[Task],
        spec: MetaSpec,
        stored: tuple[Prompts, str],
        checkpoints: Path,
        metrics: RunMetrics,
    ) -> None:
        """`stored` are the prompts, and whose the run is."""
        digests = [digest(task.rows("train")) for task in tasks]
        super().__init__(bench, engine, spec, digests, checkpoints, metrics)
        self._tasks = tasks
        self._spec = spec
        self._prompts, self._owner = stored

    def _prepare(self) -> tuple[Course, int]:
        spec, begun = self._spec, self._spec.initialization.prompt
        start = first_meta_prompt(
            self._bench, self._engine, spec, None if begun is None else self._tree(begun)
        )
        shared = self._bench.start(MAX_LENGTH)
        data = [
            MetaTaskData(
                rows := task.rows("train"),
                self._engine.encode(spec, rows),
                *self._tuned(of, shared),
            )
            for task, of in zip(self._tasks, spec.tasks, strict=True)
        ]
        restored = self._checkpoints.restore_noted(blank_arrays(spec, start))
        resumed = None if restored is None else Checkpoint(*restored)
        if resumed is not None:
            self.note(f"going on from step {resumed.step}")
        training = meta_training(
            *(spec.name, self._owner, spec, data, self._bench.served.rows, start, resumed, self),
            shared=shared,
        )
        return training, 0 if resumed is None else resumed.step

    def _tree(self, prompt: str) -> Tree | None:
        return load_reading(self._prompts, self._prompts.get(prompt, self._owner))

    def _tuned(
        self, task: MetaTask, shared: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32] | None, NDArray[np.float32] | None]:
        if task.prompt is None:
            return None, None
        rows = tuned_rows(self._tree(task.prompt), task.prompt, "MetaTrain.prompts")
        record = self._prompts.get(task.prompt, self._owner)
        return rows, tuned_vectors(record, tokens(rows), shared)

    def _line(self, task: str) -> str:
        return f"{self._name}/{task}" if task else self._name

    def _told(self, ending: Completed) -> None:
        [made] = ending.prompts
        scores = {name: x for name, x in made.scores.items() if name != "train_loss"}
        self._write(ending.step, scores)
