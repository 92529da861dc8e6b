"""A job that tunes a general prompt and one a task: every task's rows, and where they start."""

from __future__ import annotations

from ptsys.errors import InvalidInput
from ptsys.training.multitask import MultiTaskTraining, TaskData, blank_arrays
from ptsys.types.example import digest
from ptsys.types.input_notes import InputNotes
from ptsys.types.multitask import MultiTaskSpec, TaskSpec
from workers.run import Run


class MultiTaskRun(Run[MultiTaskSpec]):
    """One run of such a job."""

    def _prepare(self) -> MultiTaskTraining:
        spec, claim = self._spec, self._claim
        tasks, texts, digests = [], [], []
        for task in spec.tasks:
            data, digested = self._read(task)
            tasks.append(data)
            texts += data.examples.texts
            digests.append(digested)
        start = self._restore(digests, blank_arrays(spec, self._bench.config.d_model))
        if start is None:
            self._warn(sum((task.examples.notes for task in tasks), InputNotes()))
        return MultiTaskTraining(
            f"{claim.job.id}#{claim.fence}",
            claim.job.owner,
            spec,
            tasks,
            start or self._initial(spec.source_length, texts),
            self,
        )

    def _read(self, task: TaskSpec) -> tuple[TaskData, str]:
        """A task's rows, and the digest of those it trains on."""
        examples = self._service.datasets.read(task.dataset)
        try:
            encoded = self._engine.encode(self._spec, examples)
            inputs, targets = self._validation(task.validation)
        except InvalidInput as error:
            raise InvalidInput(f"task {task.name!r}: {error}", field=error.field) from error
        return TaskData(encoded, inputs, targets), digest(examples)
