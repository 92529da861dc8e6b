"""A job that lifts one prompt by what the library knows: its rows, its start and its query."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ptsys.errors import InvalidInput
from ptsys.library.augmentation import hold_out
from ptsys.training.augmentation.course import Augmentation
from ptsys.training.augmentation.state import blank, restored
from ptsys.training.augmentation.task import AugmentationTask
from ptsys.training.written_start import written_start
from ptsys.types.augmentation import AugmentSpec
from ptsys.types.example import Example, digest
from ptsys.types.training import Initialization
from workers.run import Run
from workers.second_prompts import SecondPrompts


class AugmentRun(Run[AugmentSpec]):
    """One run of such a job: its stages are residents of the engine."""

    def _prepare(self) -> Augmentation:
        spec, claim = self._spec, self._claim
        rows = self._service.datasets.read(spec.dataset)
        own, (inputs, targets) = self._divided(rows)
        examples = self._engine.encode(spec, own)
        checkpoint = self._restore([digest(rows)], blank(spec, self._bench.config.d_model))
        state = None
        written = None
        if checkpoint is not None:
            state = restored(checkpoint.arrays, checkpoint.notes)
        else:
            self._warn(examples.notes)
            written = self._written_start(own)
        task = AugmentationTask(
            id=f"{claim.job.id}#{claim.fence}",
            user=claim.job.owner,
            spec=spec,
            examples=examples,
            start=self._initial(spec.length, ()),
            query=None if spec.query is None else self._query(spec.query),
            written=written,
            validation_inputs=inputs,
            validation_targets=targets,
        )
        sources = SecondPrompts(self._service, self._bench, spec, claim.job.owner)
        return Augmentation(task, sources, self, state)

    def _written_start(self, rows: list[Example]) -> NDArray[np.float32] | None:
        """Another start for the query, if `auto` may try one and the model can write one."""
        spec, served = self._spec, self._bench.served
        told = any(row.target is not None and row.target.strip() for row in rows)
        if spec.strategy != "auto" or spec.query is not None or served.meta_prompt is None:
            return None
        if not told or not spec.has_room(spec.query_steps):
            return None
        start = Initialization.model_validate({"kind": "meta"})
        found = written_start(
            self._engine,
            served.meta_prompt,
            start,
            rows,
            seed=spec.seed,
            user=self._claim.job.owner,
        )
        whole = spec.model_copy(update={"initialization": start})
        return self._bench.initial(whole, spec.length, (), found["prompt"])

    def _divided(self, rows: list[Example]) -> tuple[list[Example], tuple[list[str], list[str]]]:
        """The rows to train on, and inputs and targets of those to score on."""
        spec = self._spec
        if spec.strategy == "auto" and spec.validation is None:
            own, held = hold_out(rows, spec.seed)
            self.note(f"{len(held)} of {len(rows)} rows are held out to choose by")
            return own, ([row.input for row in held], [row.target or "" for row in held])
        return rows, self._validation(spec.validation)

    def _query(self, identifier: str) -> NDArray[np.float32]:
        tree = self._tree(identifier, "query")
        tensor = None if tree is None else tree.get("prompt")
        if tensor is None or len(tensor) != self._spec.length:
            raise InvalidInput(
                f"the query has {0 if tensor is None else len(tensor)} tokens, the job "
                f"{self._spec.length}; give its length",
                field="query",
            )
        return tensor
