"""What a multi-task training job is asked to do (WO2023022727A1, figure 10B)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self, TypedDict

from pydantic import Field, model_validator

from ptsys.types.model import Unset, Value, refusal
from ptsys.types.names import NAME_HELP, Name
from ptsys.types.text import Reference
from ptsys.types.training import MOST, JobSpec

Combination = Literal["add", "concat", "affine"]
"""How a general and a task-specific prompt become the one that the model reads; see
`ptsys.prompts.multitask.combine`."""

MOST_TASKS = 256
_LONGEST_NAME = 100
_LONGEST_PROMPT = 1024
_AFFINE_SHARE = 0.01


class TaskRows(TypedDict, total=False):
    """What a task learns from, and what it is scored on: stored datasets."""

    dataset: str
    validation: str | None


class TaskOptions(Value):
    """One task of a job, and how often its rows are drawn."""

    name: Name
    rate: float | None = Field(
        default=None,
        gt=0,
        le=1e9,
        description="Its share of the rows, next to the other tasks' rates; for mixing by rates.",
    )


class TaskSpec(TaskOptions):
    """One task of a job, and its rows."""

    dataset: Reference = Field(description="What it learns from.")
    validation: Reference | None = Field(
        default=None, description="Rows to score on as it learns; unset, it is not scored."
    )


class MultiTaskOptions(JobSpec):
    """All that a multi-task job is told but what its tasks learn from.

    The general prompt is stored as `name`, a task's as `name.task`. `length` is the general
    prompt's, `task_length` each task's; unset it is as long as the general one. An affine map may
    have tasks of length 0: then it projects the general prompt alone.
    """

    name: Name = Field(
        description=f"What the general prompt will be called; a task's is NAME.TASK. {NAME_HELP}"
    )
    tasks: tuple[TaskOptions, ...] = Field(fail_fast=True, min_length=1, max_length=MOST_TASKS)
    combination: Combination = Field(
        default="concat", description="How the general and a task's prompt become one."
    )
    length: int = Field(default=16, ge=1, le=1024, description="Tokens in the general prompt.")
    task_length: Annotated[int | None, Unset("as the general one's")] = Field(
        default=None,
        ge=0,
        le=_LONGEST_PROMPT,
        description="Tokens in each task's own prompt; 0 with affine: its map is all it has.",
    )
    combined_length: Annotated[int | None, Unset("both's")] = Field(
        default=None, ge=1, le=_LONGEST_PROMPT, description="Affine: tokens that the map makes."
    )
    affine_learning_rate: Annotated[float | None, Unset("a hundredth of the optimizer's")] = Field(
        default=None, gt=0, le=1000, description="Affine: how fast the map learns."
    )
    mixing: Literal["size", "equal", "rates"] = Field(
        default="size",
        description="Rows are drawn by the datasets' sizes, from all tasks equally, or by the "
        "tasks' rates.",
    )
    size_limit: Annotated[int | None, Unset("none")] = Field(
        default=None,
        ge=1,
        le=MOST,
        description="For mixing by size: a larger dataset counts as one of so many rows.",
    )

    def on(self, rows: Mapping[str, TaskRows]) -> MultiTaskSpec:
        """The job, each task on these rows. Raises ValidationError for what is no reference."""
        tasks = [TaskSpec(**dict(task), **rows[task.name]) for task in self.tasks]
        return MultiTaskSpec(**dict(self) | {"tasks": tuple(tasks)})

    @property
    def specific_length(self) -> int:
        """Tokens of each task's own prompt."""
        return self.length if self.task_length is None else self.task_length

    @property
    def prompt_length(self) -> int:
        """Tokens of the combined prompt, which the model reads."""
        return self.combined_length or self.source_length

    @property
    def source_length(self) -> int:
        """Tokens of the two parts that a combined prompt is made of, one after the other; of
        added parts, which lie over each other, those of one."""
        return self.length if self.combination == "add" else self.length + self.specific_length

    @property
    def affine_rate(self) -> float:
        """The affine map's learning rate."""
        return self.affine_learning_rate or _AFFINE_SHARE * self.optimizer.learning_rate

    def prompt_name(self, task: str) -> str:
        """The name of a task's stored prompt."""
        return f"{self.name}.{task}"

    @property
    def prompt_names(self) -> list[str]:
        """The names of all prompts it makes, the general one first."""
        return [self.name, *(self.prompt_name(task.name) for task in self.tasks)]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        self._check_names()
        self._check_lengths()
        self._check_mixing()
        if self.initialization.kind == "meta":
            raise refusal(
                "a start is written for one task, and these are several; choose another",
                "initialization",
                "kind",
            )
        if self.optimizer.z_loss:
            raise refusal("multi-task jobs have no z-loss; leave it at 0", "optimizer", "z_loss")
        if self.combination != "affine":
            for field in ("combined_length", "affine_learning_rate"):
                if getattr(self, field) is not None:
                    raise refusal(f"only an affine combination has this; {_LEAVE}", field)
        return self

    def _check_names(self) -> None:
        seen: set[str] = set()
        for place, task in enumerate(self.tasks):
            if task.name in seen:
                raise refusal("another task has this name", "tasks", place, "name")
            if len(self.prompt_name(task.name)) > _LONGEST_NAME:
                raise refusal(
                    f"its prompt would be called {self.prompt_name(task.name)!r}, longer than "
                    f"{_LONGEST_NAME} characters; shorten the job's or the task's name",
                    *("tasks", place, "name"),
                )
            seen.add(task.name)

    def _check_lengths(self) -> None:
        specific, field = self.specific_length, "task_length"
        if self.combination == "add" and specific != self.length:
            raise refusal(f"added prompts have one length, here {self.length}; {_LEAVE}", field)
        if self.combination == "concat" and not specific:
            raise refusal("only an affine combination does without; give at least 1", field)
        if self.source_length > _LONGEST_PROMPT:
            raise refusal(
                f"both parts together would have {self.source_length} tokens; the most is "
                f"{_LONGEST_PROMPT}",
                field,
            )

    def _check_mixing(self) -> None:
        for place, task in enumerate(self.tasks):
            if (task.rate is not None) != (self.mixing == "rates"):
                told = "mixing by rates needs one" if task.rate is None else "set mixing to 'rates'"
                raise refusal(told, "tasks", place, "rate")
        if self.size_limit is not None and self.mixing != "size":
            raise refusal(f"only mixing by size has this; {_LEAVE}", "size_limit")


class MultiTaskSpec(MultiTaskOptions):
    """A queued multi-task job: one general prompt and one prompt a task, tuned together."""

    kind: Literal["multitask"] = "multitask"
    tasks: tuple[TaskSpec, ...] = Field(fail_fast=True, min_length=1, max_length=MOST_TASKS)


_LEAVE = "leave it out"
