"""What a job is asked that writes prompts for many tasks, each in one pass."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, TypeAdapter, ValidationError, model_validator
from pydantic.json_schema import SkipJsonSchema

from ptsys.types.names import NAME_HELP, Name
from ptsys.types.requests import GENERIC, MOST_EXAMPLES, Aggregate, MetaReference
from ptsys.types.text import Reference
from ptsys.types.training import MOST_STEPS, BareJobSpec, JobSpec, Tags, Truncate


class WriteOptions(BareJobSpec):
    """All that such a job is told but its tasks."""

    name: Name = Field(
        description=f"What the job is called; a task's prompt will be NAME.TASK. {NAME_HELP}"
    )
    meta_prompt: MetaReference = GENERIC
    aggregate: Aggregate = Field(
        default="each",
        description="Examples side by side and their mean, their mean alone, or all in one row.",
    )
    examples: int = Field(
        default=16, ge=0, le=MOST_EXAMPLES, description="The most that is read of a task."
    )
    described: bool = Field(
        default=False, description="Read a task's description too, where it has examples."
    )
    visibility: Literal["private", "public"] = Field(
        default="private", description="Who may see the prompts."
    )
    truncate: Truncate = False
    tags: Tags = ()
    steps: SkipJsonSchema[int] = Field(  # for the service to set
        default=300, ge=1, le=MOST_STEPS, description="Prompts to write, one for each task."
    )

    @model_validator(mode="before")
    @classmethod
    def _once_told(cls, given: Any) -> Any:
        """Until November 2026 it had all fields of jobs that learn. Who still says their defaults
        is understood."""
        if not isinstance(given, dict):
            return given
        return {name: x for name, x in given.items() if not _says_nothing(name, x)}

    @property
    def planned_steps(self) -> int:
        """Prompts in all."""
        return self.steps

    @property
    def prefix(self) -> str:
        """What the prompts' names begin with."""
        return f"{self.name}."

    def on(self, dataset: str) -> WriteSpec:
        """The job on these tasks. Raises ValidationError for what is no reference."""
        return WriteSpec(**dict(self), dataset=dataset)


class WriteSpec(WriteOptions):
    """A queued job that writes a prompt for each of many tasks."""

    kind: Literal["write"] = "write"
    dataset: Reference = Field(
        description="The tasks, one a row: its input is the JSON of `name`, `examples` and "
        "`description`."
    )


_LEARNING: dict[str, tuple[TypeAdapter[Any], Any]] = {
    name: (TypeAdapter(field.rebuild_annotation()), field.default)
    for name, field in JobSpec.model_fields.items()
    if name not in WriteSpec.model_fields
}


def _says_nothing(name: str, value: object) -> bool:
    if name not in _LEARNING:
        return False
    kind, default = _LEARNING[name]
    try:
        return bool(kind.validate_python(value) == default)
    except ValidationError:
        return False
