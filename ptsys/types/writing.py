"""What a job is asked that writes prompts for many tasks, each in one pass."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ptsys.types.names import NAME_HELP, Name
from ptsys.types.requests import GENERIC, MOST_EXAMPLES, Aggregate, MetaReference
from ptsys.types.text import Reference
from ptsys.types.training import JobSpec


class WriteOptions(JobSpec):
    """All that such a job is told but its tasks. Of the fields that every job has, what concerns
    updates has no meaning here: a step is a prompt that is written.
    """

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
