"""The kinds of jobs, told apart by `kind`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ValidatorFunctionWrapHandler, WrapValidator

from ptsys.types.multitask import MultiTaskSpec
from ptsys.types.training import TrainingSpec

JobKind = Literal["train", "multitask"]


class _Kind(BaseModel):
    kind: JobKind = "train"


def _by_kind(value: Any, handler: ValidatorFunctionWrapHandler) -> TrainingSpec | MultiTaskSpec:
    """The spec of the kind that is named; without a name, tasks make it a multi-task one.

    A plain union would name every field twice, once a kind; this names those of one kind alone.
    """
    if not isinstance(value, dict):
        spec: TrainingSpec | MultiTaskSpec = handler(value)
        return spec
    kind = _Kind.model_validate(value).kind if "kind" in value else None
    if kind == "multitask" or (kind is None and "tasks" in value):
        return MultiTaskSpec.model_validate(value)
    return TrainingSpec.model_validate(value)


AnySpec = TrainingSpec | MultiTaskSpec
Spec = Annotated[AnySpec, WrapValidator(_by_kind)]
"""A job's spec as it comes in: either kind."""


def datasets_of(spec: AnySpec) -> list[str]:
    """All datasets that a job reads, each once."""
    if isinstance(spec, TrainingSpec):
        found = [spec.dataset, spec.validation]
    else:
        found = [name for task in spec.tasks for name in (task.dataset, task.validation)]
    return list(dict.fromkeys(name for name in found if name is not None))


def prompt_names(spec: AnySpec) -> list[str]:
    """The names of the prompts that a job makes, the one it is called by first."""
    return [spec.name] if isinstance(spec, TrainingSpec) else spec.prompt_names


_SETTINGS = {
    *("optimizer", "batch_size", "length", "steps", "seed", "max_input_length"),
    *("combination", "task_length", "combined_length", "affine_learning_rate"),
    *("mixing", "size_limit"),
}


def hyperparameters(spec: AnySpec) -> dict[str, Any]:
    """What of a spec is recorded with the prompts that are trained by it, as JSON."""
    return spec.model_dump(mode="json", include=_SETTINGS)
