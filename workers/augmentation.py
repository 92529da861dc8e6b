"""A job that lifts one prompt by what the library knows: an augmentation on the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ptsys.engine.augmentation import Augmentation
from ptsys.engine.augmentation_state import State, blank, restored
from ptsys.engine.augmentation_task import AugmentationTask, Augmented
from ptsys.errors import InvalidInput
from ptsys.library.augmentation import QUERY, hold_out
from ptsys.prompts.multitask import TaskPart
from ptsys.types.augmentation import AugmentSpec
from ptsys.types.example import Example, digest
from ptsys.types.records import Parent
from workers import outcome
from workers.holds import Halt
from workers.run import Run
from workers.second_prompts import SecondPrompts


class AugmentRun(Run[AugmentSpec]):
    """One run of such a job: its stages are residents of the engine, and this listens."""

    def train(self) -> None:
        """The whole run. Raises LeaseLost, or what makes the job fail."""
        self._metrics: dict[str, float] = {}
        self._saved = -1
        augmentation = self._prepare()
        self._hold.attach(augmentation)
        result = augmentation.run()
        state = augmentation.state
        if result is not None and self._hold.halt is not Halt.LOST:
            self._finish(result, state)
        elif state.step > self._saved:
            self._tell(state.step, self._metrics)
            self._halted(state.step, state.arrays(self._spec), state.notes())
        else:
            self._halted()

    def _prepare(self) -> Augmentation:
        self._check_model()
        spec, claim = self._spec, self._claim
        rows = self._service.datasets.read(spec.dataset)
        own, validation = self._divided(rows)
        examples = self._engine.encode(spec, own)
        width = self._bench.config.d_model
        found = self._restore_noted({"dataset": digest(rows)}, blank(spec, width))
        state = None
        if found is not None:
            self._saved, arrays, notes = found
            state = restored(arrays, notes)
        else:
            self._warn(examples.notes)
        inputs, targets = validation
        task = AugmentationTask(
            id=f"{claim.job.id}#{claim.fence}",
            user=claim.job.owner,
            spec=spec,
            examples=examples,
            start=self._initial(spec.length, ()),
            query=None if spec.query is None else self._query(spec.query),
            validation_inputs=inputs,
            validation_targets=targets,
        )
        sources = SecondPrompts(self._service, self._bench, spec, claim.job.owner)
        return Augmentation(self._engine, task, sources, self, state)

    def _divided(self, rows: list[Example]) -> tuple[list[Example], tuple[list[str], list[str]]]:
        """The rows to train on, and inputs and targets of those to score on."""
        spec = self._spec
        if spec.strategy == "auto" and spec.validation is None:
            own, held = hold_out(rows, spec.seed)
            message = f"{len(held)} of {len(rows)} rows are held out to choose by"
            self._event("log", {"message": message})
            return own, ([row.input for row in held], [row.target or "" for row in held])
        return rows, self._validation(spec.validation)

    def _query(self, identifier: str) -> NDArray[np.float32]:
        tensor = self._tensor(identifier, "query")
        if tensor is None or len(tensor) != self._spec.length:
            raise InvalidInput(
                f"the query has {0 if tensor is None else len(tensor)} tokens, the job "
                f"{self._spec.length}; give its length",
                field="query",
            )
        return tensor

    # ---- what the augmentation tells ------------------------------------------------------

    def event(self, kind: Literal["evaluation", "log"], data: Mapping[str, object]) -> None:
        """Something happened. Raises LeaseLost."""
        if self._hold.halt is not Halt.LOST:
            self._event(kind, data)

    def progress(self, step: int, metrics: Mapping[str, float]) -> None:
        """So many updates are made. Raises LeaseLost."""
        self._metrics = outcome.finite(metrics)
        self._tell(step, self._metrics)

    def save(self, state: State) -> None:
        """This is a state to resume from. Raises LeaseLost."""
        if self._hold.halt is Halt.LOST or state.step <= self._saved:
            return
        self._save(state.step, state.arrays(self._spec), state.notes())
        self._saved = state.step

    def pause(self) -> float:
        """Seconds between two tellings of progress."""
        return self._pause()

    # ---- its end --------------------------------------------------------------------------

    def _finish(self, result: Augmented, state: State) -> None:
        spec = self._spec
        scores = {**result.scores, **self._plain(result), **self._train_loss()}
        made = self._made(
            TaskPart(result.prompt), name=spec.name, dataset=spec.dataset, scores=scores
        )
        settings = {**made.record.hyperparameters, "candidate": result.winner}
        record = made.record.model_copy(
            update={
                "steps": result.steps,
                "parents": self._parents(result.parents),
                "initialization": {"kind": "shared" if result.origin == "shared" else "prompt"},
                "hyperparameters": settings,
            }
        )
        told = {
            f"{kind}/{name}": value
            for name, found in result.candidates.items()
            for kind, value in found.items()
            if len(result.candidates) > 1
        }
        metrics = {**self._metrics, "steps": float(state.step), **result.scores, **told}
        self._event(
            "log",
            {
                "message": f"{result.winner} is the result",
                "candidate": result.winner,
                "candidates": {
                    name: outcome.finite(found) for name, found in result.candidates.items()
                },
            },
        )
        self._succeeded([outcome.Made(record, made.part)], outcome.finite(metrics), state.step)

    def _plain(self, result: Augmented) -> dict[str, float]:
        """What the user's rows alone gave, where that is known: what was gained is measured by
        it."""
        plain = result.candidates.get(QUERY, {}).get("accuracy")
        own = self._spec.query is None and self._spec.rounds == 1
        return {"plain_accuracy": plain} if plain is not None and own else {}

    def _train_loss(self) -> dict[str, float]:
        return {"train_loss": self._metrics["loss"]} if "loss" in self._metrics else {}

    def _parents(self, found: Sequence[Parent]) -> tuple[Parent, ...]:
        query = self._spec.query
        return (*([Parent(prompt=query, role="query")] if query is not None else ()), *found)
