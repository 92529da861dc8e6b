"""A stage of an augmentation as a resident of the engine: its rows, their order, its options."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from ptsys.data.features import EncodedExamples
from ptsys.data.mixture_order import MixtureOrder, joined
from ptsys.engine.engine import Engine
from ptsys.engine.trainings import TrainingTask, validations
from ptsys.errors import InvalidInput
from ptsys.library.augmentation import Part, Stage
from ptsys.training.augmentation.state import Way
from ptsys.training.augmentation.task import AugmentationTask, Sources
from ptsys.training.course import Listener
from ptsys.types.training import TrainingSpec


@dataclasses.dataclass(frozen=True)
class StageRows:
    """A part of a stage with its rows."""

    part: Part
    examples: EncodedExamples


def read_stage(
    engine: Engine, task: AugmentationTask, sources: Sources, listener: Listener, way: Way
) -> list[StageRows]:
    """The rows of a chain's stage; none if all that it was to draw from is gone."""
    rows_of_parts = []
    for part in way.current.data:
        if part.dataset is None:
            rows_of_parts.append(StageRows(part, task.examples))
            continue
        rows, reason = sources.rows(part.dataset), "is not there for you any more"
        if rows is not None:
            try:
                rows_of_parts.append(StageRows(part, engine.encode(task.spec, rows)))
                continue
            except InvalidInput:
                reason = "has rows that do not fit the model"
        message = f"{way.chain.name}: dataset {part.dataset} {reason}; it is left out"
        listener.note(message, dataset=part.dataset)
    return rows_of_parts


def stage_task(
    task: AugmentationTask, number: int, way: Way, data: Sequence[StageRows]
) -> TrainingTask:
    """The resident of a chain's stage in the round of that number. Only a stage on the user's rows
    alone is scored as it goes."""
    spec = _stage_spec(task, way.current)
    only_own = [rows.part.dataset for rows in data] == [None]
    order = None
    if len(data) > 1:
        order = MixtureOrder(
            tuple(len(rows.examples) for rows in data),
            tuple(rows.part.rate for rows in data),
            spec.batch_size,
            spec.seed,
        )
    return TrainingTask(
        id=f"{task.id}/{number}/{way.chain.name}/{way.stage}",
        user=task.user,
        spec=spec,
        examples=joined([rows.examples for rows in data]),
        start=way.snapshot,
        validations=validations(task.validation_inputs, task.validation_targets, only_own),
        order=order,
    )


def _stage_spec(task: AugmentationTask, stage: Stage) -> TrainingSpec:
    spec, optimizer = task.spec, task.spec.optimizer
    if stage.learning_rate is not None:
        optimizer = optimizer.model_copy(update={"learning_rate": stage.learning_rate})
    return TrainingSpec(
        name=spec.name,
        model=spec.model,
        dataset=spec.dataset,
        steps=stage.steps,
        length=spec.length,
        batch_size=spec.batch_size,
        optimizer=optimizer,
        seed=spec.seed,
        evaluate_every=spec.evaluate_every,
        checkpoint_every=spec.checkpoint_every,
    )
