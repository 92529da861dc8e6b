"""What a job is asked that trains a meta-prompt (WO2023022727A1, figures 3, 4, 8 and 9)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypedDict

from pydantic import Field, model_validator

from ptsys.types.model import Unset, Value, refusal
from ptsys.types.names import Name
from ptsys.types.requests import Aggregate
from ptsys.types.text import Reference, Text
from ptsys.types.training import MOST_STEPS, JobSpec, Optimizer

SHARED = "shared"
METHODS = ("joint", "regression")
Method = Literal["joint", "regression"]
Distance = Literal["l2", "cosine", "vmf"]
Generator = Literal["shared", "own", "own-trained"]

META = "meta"
MOST_TASKS = 1024
MOST_EXAMPLES = 64
_LEAST_TASKS = 2
_TOLD = 200  # characters of a task's description that are recorded
_MOST_HELD_OUT = 32
_TUNING_STEPS = 100  # of a prompt that is missing
_HELD_OUT_SHARE = 5  # one task in so many is held out, unless it is said


class MetaTaskRows(TypedDict, total=False):
    """What a task's prompts are written from and asked, and what tuning made of it: a stored
    dataset and a stored prompt."""

    dataset: str
    prompt: str | None


class MetaTaskOptions(Value):
    """One task of a job that trains a meta-prompt."""

    name: Name
    description: Annotated[Text, Field(min_length=1, max_length=10_000)] | None = Field(
        default=None, description="What is to be done, in words: now and then read with examples."
    )
    held_out: bool = Field(
        default=False, description="Never learned from: the meta-prompt is scored on it."
    )


class MetaTask(MetaTaskOptions):
    """One task of a job, and its rows."""

    dataset: Reference = Field(
        description="Its rows: some are shown, others asked, others in every step."
    )
    prompt: Reference | None = Field(
        default=None,
        description="The prompt that was tuned on it, soft tokens, to learn from; unset, one is "
        "tuned first where one is needed.",
    )


class MetaOptions(JobSpec):
    """All that such a job is told but the rows of its tasks.

    In every step prompts are written for `tasks_per_step` tasks, from as many examples of each as
    are drawn, `examples` at most. By `joint` training the model answers other rows of these tasks
    with them, `batch_size` in all, and what it gets wrong is traced back through both networks; by
    `regression` they are compared with the prompts that were tuned on the tasks.
    """

    tasks: tuple[MetaTaskOptions, ...] = Field(
        fail_fast=True, min_length=_LEAST_TASKS, max_length=MOST_TASKS
    )
    method: Method = Field(
        default="joint",
        description="Learn from rows that are answered with the prompts written, or from prompts "
        "that were tuned.",
    )
    aggregate: Aggregate = Field(
        default="each",
        description="Examples side by side and their mean, their mean alone, or what one row of "
        "all examples gives.",
    )
    generator: Generator = Field(
        default="shared",
        description="What reads the examples: the frozen model's encoder, which all meta-prompts "
        "share; an encoder of its own, which starts equal or is the other meta-prompt's; or one of "
        "its own that learns too.",
    )
    examples: int = Field(
        default=16, ge=1, le=MOST_EXAMPLES, description="The most examples a prompt is written of."
    )
    tasks_per_step: int = Field(default=8, ge=1, le=64, description="Prompts written in a step.")
    loss: Distance = Field(
        default="l2", description="How far a written prompt is from the tuned one."
    )
    teacher_weight: float = Field(
        default=0.0,
        ge=0,
        le=1000,
        description="Joint: weight of the distance from the tuned prompts, where tasks have one.",
    )
    answer_weight: float = Field(
        default=0.0,
        ge=0,
        le=1000,
        description="Joint: weight of the difference (KL) from how the tuned prompts answer the "
        "rows asked, where tasks have one.",
    )
    tuning_steps: Annotated[int | None, Unset("100 by regression, none by joint")] = Field(
        default=None,
        ge=1,
        le=MOST_STEPS,
        description="Updates of each prompt that is missing: those are tuned first, on the rows of "
        "their tasks, as long as what is written.",
    )
    tuning_rate: float = Field(
        default=Optimizer().learning_rate,
        gt=0,
        le=1000,
        description="How fast these learn, by Adafactor.",
    )
    length_weight: float = Field(
        default=0.1, ge=0, le=1000, description="Cosine: weight of the difference of lengths."
    )
    held_out: Annotated[int | None, Unset("a fifth of them")] = Field(
        default=None,
        ge=0,
        le=_MOST_HELD_OUT,
        description="Tasks that are not learned from but scored on, beside those named so.",
    )
    patience: Annotated[int | None, Unset("none")] = Field(
        default=None, ge=1, description="End after so many scores that were no better."
    )
    steps: int = Field(default=300, ge=1, le=1_000_000, description="Updates of the meta-prompt.")
    length: int = Field(
        default=8,
        ge=1,
        le=64,
        description="Tokens at the end of what a new meta-prompt writes; another's has its own.",
    )
    batch_size: int = Field(default=32, ge=1, le=512, description="Rows asked a step, in all.")
    optimizer: Optimizer = Optimizer(kind="adamw", learning_rate=1e-3)

    @property
    def makes(self) -> str:
        """A meta-prompt."""
        return META

    @property
    def needs_prompts(self) -> bool:
        """Tuned prompts are learned from alone."""
        return self.method == "regression"

    @property
    def compares_prompts(self) -> bool:
        """What is written is compared with tuned prompts."""
        return self.needs_prompts or self.teacher_weight > 0

    @property
    def learns_from_prompts(self) -> bool:
        """Tuned prompts are learned from, or their answers."""
        return self.compares_prompts or self.answer_weight > 0

    @property
    def prompt_updates(self) -> int:
        """Updates of a prompt that is missing; 0 if none is tuned."""
        return self.tuning_steps or (_TUNING_STEPS if self.needs_prompts else 0)

    def on(self, rows: Mapping[str, MetaTaskRows]) -> MetaSpec:
        """The job, each task on these rows. Raises ValidationError for what is no reference."""
        tasks = [MetaTask(**dict(task), **rows[task.name]) for task in self.tasks]
        return MetaSpec(**dict(self) | {"tasks": tuple(tasks)})

    @model_validator(mode="after")
    def _fits(self) -> Self:
        seen: set[str] = set()
        for place, task in enumerate(self.tasks):
            if task.name in seen:
                raise refusal("another task has this name", "tasks", place, "name")
            seen.add(task.name)
        learned = sum(not task.held_out for task in self.tasks)
        if learned - (self.held_out or 0) < 1:
            raise refusal("no task is left to learn from", "held_out")
        if self.batch_size < self.tasks_per_step and self.method == "joint":
            raise refusal(
                f"{self.tasks_per_step} tasks a step need a row each at least; raise it",
                "batch_size",
            )
        if self.initialization.kind not in ("shared", "vocabulary", "prompt"):
            raise refusal(
                "a meta-prompt starts at the model's own (`shared`), anew (`vocabulary`), or at "
                "another (`prompt`)",
                *("initialization", "kind"),
            )
        if self.optimizer.z_loss:
            raise refusal("meta-prompts have no z-loss; leave it at 0", "optimizer", "z_loss")
        if self.tuning_steps and not self.learns_from_prompts:
            raise refusal(
                "prompts are tuned to be learned from: by regression, or with a teacher_weight or "
                "an answer_weight",
                "tuning_steps",
            )
        for field in ("teacher_weight", "answer_weight"):
            if getattr(self, field) and self.method == "regression":
                raise refusal("only joint training has this; leave it out", field)
        return self

    def scored(self) -> list[bool]:
        """Of every task, whether it is scored on instead of learned from: those named so, and the
        last of the others, as many as are `held_out`."""
        free = [not task.held_out for task in self.tasks]
        count = self.held_out
        if count is None:
            share = min(sum(free) // _HELD_OUT_SHARE, _MOST_HELD_OUT)
            count = 0 if not all(free) else share
        scored = [task.held_out for task in self.tasks]
        for place in [place for place, own in enumerate(free) if own][::-1][:count]:
            scored[place] = True
        return scored


class MetaSpec(MetaOptions):
    """A queued job that trains a meta-prompt on many tasks."""

    kind: Literal["meta"] = "meta"
    tasks: tuple[MetaTask, ...] = Field(
        fail_fast=True, min_length=_LEAST_TASKS, max_length=MOST_TASKS
    )

    @property
    def missing_prompts(self) -> list[int]:
        """The places of the tasks whose prompts are tuned first."""
        if not self.prompt_updates:
            return []
        told = enumerate(zip(self.tasks, self.scored(), strict=True))
        return [place for place, (task, scored) in told if not scored and task.prompt is None]

    @property
    def planned_steps(self) -> int:
        """Updates of the prompts that are tuned first, and of the meta-prompt."""
        return len(self.missing_prompts) * self.prompt_updates + self.steps

    @model_validator(mode="after")
    def _taught(self) -> Self:
        if not self.learns_from_prompts or self.prompt_updates:
            return self
        told = zip(self.tasks, self.scored(), strict=True)
        if not any(task.prompt and not scored for task, scored in told):
            raise refusal(
                "no task has a tuned prompt to learn from; give one, or set tuning_steps",
                "teacher_weight" if self.teacher_weight else "answer_weight",
            )
        return self


def told_tasks(spec: MetaOptions) -> list[dict[str, Any]]:
    """What is recorded of its tasks: names, whether each was only scored on, and of a description
    the beginning."""
    return [
        {"name": task.name}
        | ({"held_out": True} if scored else {})
        | ({"description": task.description[:_TOLD]} if task.description else {})
        for task, scored in zip(spec.tasks, spec.scored(), strict=True)
    ]
