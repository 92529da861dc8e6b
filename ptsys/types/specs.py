"""The kinds of jobs, told apart by `kind`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ValidatorFunctionWrapHandler, WrapValidator

from ptsys.types.augmentation import AugmentSpec
from ptsys.types.meta_training import MetaSpec
from ptsys.types.multitask import MultiTaskSpec
from ptsys.types.requests import GENERIC
from ptsys.types.training import TrainingSpec
from ptsys.types.writing import WriteSpec

JobKind = Literal["train", "multitask", "augment", "write", "meta"]


class _Kind(BaseModel):
    kind: JobKind = "train"


LearningSpec = TrainingSpec | MultiTaskSpec | AugmentSpec | MetaSpec
"""Of a job that learns, step by step."""

AnySpec = LearningSpec | WriteSpec


def _by_kind(value: Any, handler: ValidatorFunctionWrapHandler) -> AnySpec:
    """The spec of the kind that is named; without a name, tasks make it a multi-task one.

    A plain union would name every field twice, once a kind; this names those of one kind alone.
    """
    if not isinstance(value, dict):
        spec: AnySpec = handler(value)
        return spec
    kind = _Kind.model_validate(value).kind if "kind" in value else None
    if kind == "multitask" or (kind is None and "tasks" in value):
        return MultiTaskSpec.model_validate(value)
    if kind == "augment":
        return AugmentSpec.model_validate(value)
    if kind == "write":
        return WriteSpec.model_validate(value)
    if kind == "meta":
        return MetaSpec.model_validate(value)
    return TrainingSpec.model_validate(value)


Spec = Annotated[AnySpec, WrapValidator(_by_kind)]
"""A job's spec as it comes in: any kind."""


def datasets_of(spec: AnySpec) -> list[str]:
    """All datasets that a job is told to read, each once. Those that an augmentation finds in the
    library are not its to hold."""
    if isinstance(spec, MultiTaskSpec):
        found = [name for task in spec.tasks for name in (task.dataset, task.validation)]
    elif isinstance(spec, WriteSpec):
        found = [spec.dataset]
    elif isinstance(spec, MetaSpec):
        found = [task.dataset for task in spec.tasks]
    else:
        found = [spec.dataset, spec.validation]
    return list(dict.fromkeys(name for name in found if name is not None))


def named_prompts(spec: AnySpec) -> dict[str, str]:
    """The prompts that a job is told to read, by the field that names them: where it starts, what
    writes that or all, what it searches with."""
    found: dict[str, str | None] = {}
    if isinstance(spec, WriteSpec):
        return {} if spec.meta_prompt == GENERIC else {"meta_prompt": spec.meta_prompt}
    start = spec.initialization
    if start.kind == "prompt":
        found["initialization.prompt"] = start.prompt
    if start.kind == "meta" and start.meta_prompt != GENERIC:
        found["initialization.meta_prompt"] = start.meta_prompt
    if isinstance(spec, AugmentSpec):
        found["query"] = spec.query
    if isinstance(spec, MetaSpec):
        found |= {f"tasks.{place}.prompt": task.prompt for place, task in enumerate(spec.tasks)}
    return {field: name for field, name in found.items() if name is not None}


def prompts_of(spec: AnySpec) -> list[str]:
    """Those prompts, each once."""
    return list(dict.fromkeys(named_prompts(spec).values()))


def prompt_names(spec: AnySpec) -> list[str]:
    """The names of the prompts that a job makes, the one it is called by first; of one that writes
    many, what it is called alone."""
    return spec.prompt_names if isinstance(spec, MultiTaskSpec) else [spec.name]


_SETTINGS = {
    *("optimizer", "batch_size", "length", "steps", "seed", "max_input_length"),
    *("combination", "task_length", "combined_length", "affine_learning_rate"),
    *("mixing", "size_limit"),
    *("strategy", "neighbours", "rounds", "metric", "minimum_similarity", "weights", "temperature"),
    *("method", "aggregate", "examples", "tasks_per_step", "loss", "teacher_weight"),
    "generator",
    *("begin", "start", "query_steps", "second_steps", "own_share", "polish_steps", "budget"),
}


def hyperparameters(spec: AnySpec) -> dict[str, Any]:
    """What of a spec is recorded with the prompts that are trained by it, as JSON."""
    found = spec.model_dump(mode="json", include=_SETTINGS)
    if isinstance(spec, MetaSpec) and spec.missing_prompts:
        found |= {"tuning_steps": spec.prompt_updates, "tuning_rate": spec.tuning_rate}
    if isinstance(spec, MetaSpec) and spec.answer_weight:
        found["answer_weight"] = spec.answer_weight
    return found
