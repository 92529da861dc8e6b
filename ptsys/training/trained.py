"""A prompt that a training made, and its record: the one place that says what a record holds."""

from __future__ import annotations

import dataclasses
import datetime
import math
from collections.abc import Mapping
from typing import Any

from ptsys.engine.model import ServedModel
from ptsys.kinds.registry import META
from ptsys.kinds.trees import Tree
from ptsys.prompts.tokens import NAME
from ptsys.types.meta_training import MetaSpec, told_tasks
from ptsys.types.multitask import MultiTaskSpec
from ptsys.types.records import Parent, Prompt, Visibility
from ptsys.types.specs import LearningSpec, hyperparameters
from ptsys.types.training import TOKENS, JobSpec


@dataclasses.dataclass(frozen=True)
class Trained:
    """A prompt that was made: its arrays as they are stored, and what is known of how it came to
    be.

    `task` is the number of the task that it is specific to, in a multi-task training. `start` and
    `settings` are recorded instead of the spec's, and beside them, where they differ.
    """

    name: str
    values: Tree
    dataset: str | None
    scores: Mapping[str, float]
    steps: int
    task: int | None = None
    start: Mapping[str, Any] | None = None
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    parents: tuple[Parent, ...] = ()
    kind: str = TOKENS

    @property
    def length(self) -> int:
        """Positions that it has, at most in one of its arrays; of soft tokens, its own."""
        if self.kind == TOKENS:
            return len(self.values.get(NAME, ()))
        if self.kind == META:
            return len(self.values["tokens"])
        return max(map(len, self.values.values()))


@dataclasses.dataclass(frozen=True)
class Maker:
    """What all prompts of one training have in common; `rates` as `recorded_settings` says."""

    spec: LearningSpec
    model: ServedModel
    owner: str
    created: datetime.datetime
    job: str | None = None
    visibility: Visibility = "private"
    tags: tuple[str, ...] = ()
    contact: str | None = None
    rates: Mapping[str, float] | None = None

    def record(
        self,
        made: Trained,
        identifier: str,
        *,
        general: str | None = None,
        description: str | None = None,
        licence: str | None = None,
    ) -> Prompt:
        """The record of a prompt under an id; `general` is that of the general prompt which a
        task-specific one goes with."""
        linked: dict[str, Any] = {}
        if made.task is not None:
            assert isinstance(self.spec, MultiTaskSpec)
            task = self.spec.tasks[made.task]
            linked = {"general": general, "combination": self.spec.combination, "task": task.name}
        start = recorded_start(self.spec) if made.start is None else dict(made.start)
        return Prompt(
            id=identifier,
            name=made.name,
            owner=self.owner,
            visibility=self.visibility,
            model=self.model.name,
            model_fingerprint=self.model.fingerprint,
            kind=made.kind,
            length=made.length,
            d_model=self.model.frozen.config.d_model,
            created=self.created,
            job=self.job,
            dataset=made.dataset,
            initialization=start,
            hyperparameters=recorded_settings(self.spec, self.rates) | dict(made.settings),
            steps=made.steps,
            scores={name: float(x) for name, x in made.scores.items() if math.isfinite(x)},
            tags=self.tags,
            description=description,
            licence=licence,
            contact=self.contact,
            parents=made.parents,
            bytes=sum(array.nbytes for array in made.values.values()),
            **linked,
        )


def recorded_settings(
    spec: LearningSpec, rates: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """The hyperparameters that a prompt is recorded with, and the rates by which its rows were
    drawn from several tasks, where these were chosen: `rates` names those of a mixture."""
    if isinstance(spec, MultiTaskSpec):
        rates = {task.name: task.rate for task in spec.tasks if task.rate is not None}
    tasks = {"tasks": told_tasks(spec)} if isinstance(spec, MetaSpec) else {}
    return hyperparameters(spec) | ({"rates": dict(rates)} if rates else {}) | tasks


def recorded_start(spec: JobSpec) -> dict[str, Any]:
    """Where a prompt of this spec starts, as it is recorded."""
    return spec.initialization.model_dump(mode="json", exclude_none=True)
