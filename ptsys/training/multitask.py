"""The training of a general prompt and one a task, together (WO2023022727A1, figure 10B): one
resident, whose rows say which task they are of."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptsys.data.features import EncodedExamples
from ptsys.data.metrics import Scorer, summarize
from ptsys.data.mixture_order import joined
from ptsys.data.task_mixing import TaskMix, task_shares
from ptsys.engine import trainings
from ptsys.engine.evaluation import mean_scores
from ptsys.engine.trainings import Progress, Snapshot, TrainingTask, Validation
from ptsys.kinds.registry import prompt_kind
from ptsys.prompts.multitask_kind import begin, task_part
from ptsys.prompts.tokens import NAME
from ptsys.training.course import Checkpoint, Completed, Listener, Steps, finite
from ptsys.training.last_rows import LastRows, last_scores
from ptsys.training.loop import Place
from ptsys.training.resident import ResidentTraining, of_members
from ptsys.training.trained import Trained
from ptsys.types.multitask import MultiTaskSpec

LOSSES = "losses"  # the checkpointed array: of the batch, its gradient norm, each task's


@dataclasses.dataclass(frozen=True)
class TaskData:
    """A task's rows, encoded, and those it is scored on as it learns and once it has."""

    examples: EncodedExamples
    validation_inputs: Sequence[str] = ()
    validation_targets: Sequence[str] = ()
    score: Scorer = summarize
    last: LastRows | None = None


def mix_of(spec: MultiTaskSpec, sizes: Sequence[int]) -> TaskMix:
    """Which rows a step sees, as the spec mixes tasks of so many rows."""
    rates = [task.rate or 0.0 for task in spec.tasks]
    shares = task_shares(sizes, spec.mixing, rates=rates, size_limit=spec.size_limit)
    return TaskMix(tuple(sizes), tuple(shares.tolist()), spec.batch_size, spec.seed)


class MultiTaskTraining(ResidentTraining):
    """The course of such a training."""

    def __init__(
        self,
        identifier: str,
        user: str,
        spec: MultiTaskSpec,
        tasks: Sequence[TaskData],
        start: Checkpoint | NDArray[np.float32],
        listener: Listener,
    ) -> None:
        """From a checkpoint; or from an array [source_length, D] that every combined prompt is
        to be in the beginning, as `begin` says."""
        self._spec = spec
        self._last = [task.last for task in tasks]
        self._kind = prompt_kind(spec.combination)
        self._losses = np.full((2 + len(tasks),), np.nan, np.float32)
        if isinstance(start, Checkpoint):
            like = blank(spec, start.arrays["general"]["value"].shape[-1])
            snapshot = Snapshot.of(start.step, start.arrays, like)
            self._losses = np.array(start.arrays[LOSSES])
        else:
            snapshot = Snapshot.start(begin(spec, start), spec.combination)
        sizes = [len(task.examples) for task in tasks]
        task = TrainingTask(
            id=identifier,
            user=user,
            spec=spec,
            examples=joined([task.examples for task in tasks]),
            start=snapshot,
            validations=[
                Validation(task.validation_inputs, task.validation_targets, number, task.score)
                for number, task in enumerate(tasks)
                if task.validation_inputs
            ],
            order=mix_of(spec, sizes),
            kind=spec.combination,
            members=np.repeat(np.arange(len(tasks), dtype=np.int32), sizes),
        )
        super().__init__(task, listener)

    # ---- numbers --------------------------------------------------------------------------

    def _known(self, progress: Progress | None) -> NDArray[np.float32]:
        """The loss of the batch, its gradient norm, and each task's loss when it was last drawn;
        what is not known anew is as in the checkpoint."""
        fresh = np.full_like(self._losses, np.nan)
        if progress is not None:
            fresh[:2] = progress.loss, progress.gradient_norm
            if progress.member_losses is not None:
                fresh[2:] = progress.member_losses
        return np.where(np.isfinite(fresh), fresh, self._losses)

    def _metrics(self, progress: Progress) -> dict[str, float]:
        """`loss` of the batch, `loss/<task>` of each."""
        loss, norm, *tasks = self._known(progress).tolist()
        of_each = {f"loss/{x.name}": y for x, y in zip(self._spec.tasks, tasks, strict=True)}
        return {"loss": loss, "gradient_norm": norm, **of_each}

    def _scores(self, event: trainings.Evaluated | trainings.Finished) -> dict[str, float]:
        """`accuracy`, the mean over the tasks, and `accuracy/<task>`; other scores alike."""
        return of_members(event, [task.name for task in self._spec.tasks])

    def _checkpoint(self, snapshot: Snapshot, progress: Progress | None) -> Checkpoint:
        arrays = {**snapshot.state(), LOSSES: self._known(progress)}
        metrics = {} if progress is None else finite(self._metrics(progress))
        return Checkpoint(snapshot.step, arrays, metrics=metrics)

    # ---- the end --------------------------------------------------------------------------

    def _finish(self, place: Place, event: trainings.Finished) -> Steps[Completed]:
        spec, values, user = self._spec, event.snapshot.values, self._task.user
        every = {n: dict(event.member_scores.get(n, {})) for n in range(len(spec.tasks))}
        for number, rows in enumerate(self._last):
            if rows is not None:
                reading = self._kind.reading(values, number)
                every[number] |= yield from last_scores(place, rows, reading, user)
        loss, _, *losses = self._known(self._progress).tolist()
        general = Trained(
            name=spec.name,
            values={NAME: values["general"]},
            dataset=None,
            scores={**mean_scores(every), "train_loss": loss},
            steps=spec.steps,
        )
        specific = (
            Trained(
                name=spec.prompt_name(task.name),
                values=stored_part(values, number),
                dataset=task.dataset,
                scores={**every[number], "train_loss": losses[number]},
                steps=spec.steps,
                task=number,
            )
            for number, task in enumerate(spec.tasks)
        )
        progress = self._progress
        metrics = {} if progress is None else self._metrics(progress)
        return Completed(
            (general, *specific), spec.steps, finite({**metrics, **self._scores(event)})
        )


def blank(spec: MultiTaskSpec, width: int) -> Snapshot:
    """A state of the spec's shapes."""
    start = np.zeros((spec.source_length, width), np.float32)
    return Snapshot.start(begin(spec, start), spec.combination)


def blank_arrays(spec: MultiTaskSpec, width: int) -> dict[str, Any]:
    """What a checkpoint of it holds."""
    losses = np.zeros((2 + len(spec.tasks),), np.float32)
    return {**blank(spec, width).state(), LOSSES: losses}


def stored_part(values: Mapping[str, NDArray[np.float32]], task: int) -> dict[str, Any]:
    """What is stored of a task: its own arrays, its tokens by the name that a prompt's have."""
    part = task_part(dict(values), task)
    return part.arrays
