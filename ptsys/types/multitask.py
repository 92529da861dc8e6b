"""What a multi-task training job is asked to do (WO2023022727A1, figure 10B)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from ptsys.types.model import Value
from ptsys.types.names import Name
from ptsys.types.text import Reference
from ptsys.types.training import MOST, JobSpec

Combination = Literal["add", "concat", "affine"]
"""How a general and a task-specific prompt become the one that the model reads; see
`ptsys.prompts.multitask.combine`."""

MOST_TASKS = 256
_LONGEST_NAME = 100
_LONGEST_PROMPT = 1024
_AFFINE_SHARE = 0.01


class TaskSpec(Value):
    """One task of a job: its rows, and how often they are drawn."""

    name: Name
    dataset: Reference
    validation: Reference | None = None
    rate: float | None = Field(
        default=None,
        gt=0,
        le=1e9,
        description="Its share of the rows, next to the other tasks' rates; for mixing by rates.",
    )


class MultiTaskSpec(JobSpec):
    """A queued multi-task job: one general prompt and one prompt a task, tuned together.

    The general prompt is stored as `name`, a task's as `name.task`. `length` is the general
    prompt's, `task_length` each task's; unset it is as long as the general one. An affine map may
    have tasks of length 0: then it projects the general prompt alone.
    """

    kind: Literal["multitask"] = "multitask"
    tasks: tuple[TaskSpec, ...] = Field(fail_fast=True, min_length=1, max_length=MOST_TASKS)
    combination: Combination = "concat"
    task_length: int | None = Field(default=None, ge=0, le=_LONGEST_PROMPT)
    combined_length: int | None = Field(
        default=None,
        ge=1,
        le=_LONGEST_PROMPT,
        description="Tokens that an affine map makes; unset, as many as it is given.",
    )
    affine_learning_rate: float | None = Field(
        default=None,
        gt=0,
        le=1000,
        description="Of the affine map; unset is a hundredth of the optimizer's.",
    )
    mixing: Literal["size", "equal", "rates"] = Field(
        default="size",
        description="Rows are drawn by the datasets' sizes, equally, or by the tasks' rates.",
    )
    size_limit: int | None = Field(
        default=None,
        ge=1,
        le=MOST,
        description="For mixing by size: a larger dataset counts as one of so many rows.",
    )

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
    def _fits(self) -> MultiTaskSpec:
        self._check_names()
        self._check_lengths()
        self._check_mixing()
        if self.optimizer.z_loss:
            raise _refusal("multi-task jobs have no z-loss; leave it at 0", "optimizer", "z_loss")
        if self.combination != "affine":
            for field in ("combined_length", "affine_learning_rate"):
                if getattr(self, field) is not None:
                    raise _refusal(f"only an affine combination has this; {_LEAVE}", field)
        return self

    def _check_names(self) -> None:
        seen: set[str] = set()
        for place, task in enumerate(self.tasks):
            if task.name in seen:
                raise _refusal("another task has this name", "tasks", place, "name")
            if len(self.prompt_name(task.name)) > _LONGEST_NAME:
                raise _refusal(
                    f"its prompt would be called {self.prompt_name(task.name)!r}, longer than "
                    f"{_LONGEST_NAME} characters; shorten the job's or the task's name",
                    *("tasks", place, "name"),
                )
            seen.add(task.name)

    def _check_lengths(self) -> None:
        specific, field = self.specific_length, "task_length"
        if self.combination == "add" and specific != self.length:
            raise _refusal(f"added prompts have one length, here {self.length}; {_LEAVE}", field)
        if self.combination == "concat" and not specific:
            raise _refusal("only an affine combination does without; give at least 1", field)
        if self.source_length > _LONGEST_PROMPT:
            raise _refusal(
                f"both parts together would have {self.source_length} tokens; the most is "
                f"{_LONGEST_PROMPT}",
                field,
            )

    def _check_mixing(self) -> None:
        for place, task in enumerate(self.tasks):
            if (task.rate is not None) != (self.mixing == "rates"):
                told = "mixing by rates needs one" if task.rate is None else "set mixing to 'rates'"
                raise _refusal(told, "tasks", place, "rate")
        if self.size_limit is not None and self.mixing != "size":
            raise _refusal(f"only mixing by size has this; {_LEAVE}", "size_limit")


_LEAVE = "leave it out"


def _refusal(told: str, *where: str | int) -> ValidationError:
    """An error at a field, as pydantic's own."""
    reason = PydanticCustomError("value_error", "{told}", {"told": told})
    line = InitErrorDetails(type=reason, loc=where, input=None)
    return ValidationError.from_exception_data("MultiTaskSpec", [line])
