"""A job that tunes one prompt: its rows, and where it starts."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ptsys.engine.trainings import Snapshot, TrainingTask, validations
from ptsys.kinds.registry import META
from ptsys.kinds.trees import Tree
from ptsys.training.single import SingleTraining
from ptsys.training.start import blank, first_prompt
from ptsys.training.written_start import written_start
from ptsys.types.example import Example, digest
from ptsys.types.requests import GENERIC
from ptsys.types.training import TrainingSpec
from workers.run import Run


class TrainingRun(Run[TrainingSpec]):
    """One run of such a job."""

    def _prepare(self) -> SingleTraining:
        spec, claim = self._spec, self._claim
        examples = self._service.datasets.read(spec.dataset)
        encoded = self._engine.encode(spec, examples)
        inputs, targets = self._validation(spec.validation)
        like = blank(self._bench, spec)
        checkpoint = self._restore([digest(examples)], like.state())
        if checkpoint is None:
            self._warn(encoded.notes)
            start = first_prompt(self._bench, spec, encoded.texts, self._begun(examples))
            loss = math.nan
        else:
            start = Snapshot.of(checkpoint.step, checkpoint.arrays, like)
            loss = checkpoint.notes.get("loss", math.nan)
        task = TrainingTask(
            id=f"{claim.job.id}#{claim.fence}",  # a job may come back before its last run left
            user=claim.job.owner,
            spec=spec,
            examples=encoded,
            start=start,
            kind=spec.prompt_kind,
            validations=validations(inputs, targets),
        )
        return SingleTraining(task, self, loss=loss)

    def _begun(self, rows: Sequence[Example]) -> Tree | None:
        """The prompt to start from: a stored one, or what is written from the rows."""
        start = self._spec.initialization
        if start.kind != META:
            return self._other_tree()
        meta = self._meta(start.meta_prompt or GENERIC, "initialization.meta_prompt")
        owner, seed = self._claim.job.owner, self._spec.seed
        return written_start(self._engine, meta, start, rows, seed=seed, user=owner)
