"""A job that trains a meta-prompt: its tasks' rows, the prompts that were tuned on them, and where
it starts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ptsys.errors import InvalidInput
from ptsys.kinds.trees import Tree
from ptsys.library.domain import tuned_vectors
from ptsys.prompts.check import MAX_LENGTH
from ptsys.prompts.tokens import tokens
from ptsys.training.course import Course
from ptsys.training.meta import MetaTaskData, tuned_rows
from ptsys.training.meta_taught import blank_arrays, meta_training
from ptsys.training.start import first_meta_prompt
from ptsys.types.example import digest
from ptsys.types.input_notes import InputNotes
from ptsys.types.meta_training import MetaSpec, MetaTask
from ptsys.types.records import Parent
from workers.run import Run


class MetaRun(Run[MetaSpec]):
    """One run of such a job."""

    def _prepare(self) -> Course:
        spec, claim = self._spec, self._claim
        start = self._meta_start()
        shared = self._bench.start(MAX_LENGTH)
        tasks, digests, notes = [], [], InputNotes()
        for place, task in enumerate(spec.tasks):
            rows = self._service.datasets.read(task.dataset)
            try:
                encoded = self._engine.encode(spec, rows)
            except InvalidInput as error:
                raise InvalidInput(f"task {task.name!r}: {error}", field=error.field) from error
            notes += encoded.notes
            tasks.append(MetaTaskData(rows, encoded, *self._tuned(place, task, shared)))
            digests.append(digest(rows))
        resumed = self._restore(digests, blank_arrays(spec, start))
        if resumed is None:
            self._warn(notes)
        begun = spec.initialization.prompt
        return meta_training(
            f"{claim.job.id}#{claim.fence}",
            claim.job.owner,
            spec,
            tasks,
            self._bench.served.rows,
            start,
            resumed,
            self,
            parents=() if begun is None else (Parent(prompt=begun, role="start"),),
            shared=shared,
        )

    def _meta_start(self) -> Tree:
        """The meta-prompt that it begins as."""
        spec = self._spec
        other: Tree | None = None
        if spec.initialization.kind == "prompt" and spec.initialization.prompt is not None:
            other = self._tree(spec.initialization.prompt, "initialization.prompt")
        return first_meta_prompt(self._bench, self._engine, spec, other)

    def _tuned(
        self, place: int, task: MetaTask, shared: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32] | None, NDArray[np.float32] | None]:
        """The prompt that was tuned on a task, [P, D], and its vectors, [3, N]."""
        if task.prompt is None:
            return None, None
        field = f"tasks.{place}.prompt"
        rows = tuned_rows(self._tree(task.prompt, field), task.prompt, field)
        record = self._service.prompts.read(task.prompt)
        return rows, tuned_vectors(record, tokens(rows), shared)
