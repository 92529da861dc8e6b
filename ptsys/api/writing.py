"""What the writing of a prompt is asked: `POST /v1/meta-prompts/{meta}/generate`."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from ptsys.api.forms import Description, Shares
from ptsys.config import Settings
from ptsys.errors import InvalidInput
from ptsys.jobs.limits import ModelLimits
from ptsys.types.model import Value
from ptsys.types.names import Name
from ptsys.types.records import Visibility
from ptsys.types.requests import MOST_EXAMPLES, Aggregate, TaskExample
from ptsys.types.text import Text

_TOLD: JsonDict = {
    "anyOf": [
        {"required": ["examples"], "properties": {"examples": {"minItems": 1}}},
        {"required": ["description"], "properties": {"description": {"not": {"type": "null"}}}},
    ]
}


class WriteBody(Value):
    """A task to write a prompt for, told by examples, in words, or both; with a `name` the prompt
    is kept under it."""

    model_config = ConfigDict(json_schema_extra=_TOLD)

    model: Text | None = Field(
        default=None,
        max_length=100,
        description="For `generic`: the frozen model. A stored meta-prompt has its own.",
    )
    examples: list[TaskExample] = Field(
        default=[],
        max_length=MOST_EXAMPLES,
        description="Rows of the task. Of a target the first six tokens are read.",
    )
    description: Description | None = Field(default=None, description="The task in words.")
    aggregate: Aggregate = Field(
        default="each",
        description="What the prompt is made of: the mean over all examples alone, or what stands "
        "for each of them, side by side, before it; or all examples are read in one row.",
    )
    truncate: bool = Field(
        default=False, description="Cut inputs that are too long, instead of refusing them."
    )
    name: Name | None = Field(default=None, description="What to keep the prompt under.")
    visibility: Visibility = "private"
    shared_with: Shares = []

    @property
    def rows(self) -> int:
        """What the request costs."""
        return len(self.examples) + (self.description is not None)

    def check(self, settings: Settings, limits: ModelLimits) -> None:
        """Raise InvalidInput, naming the field, for what cannot be read."""
        if not self.rows:
            raise InvalidInput("give examples, a description, or both", field="examples")
        check_examples(self.examples, settings, limits, truncate=self.truncate)


class MetaPromptView(BaseModel):
    """A meta-prompt: `generic` ships with its model, others are stored prompts of the kind `meta`,
    told more of at `/v1/prompts/{id}`."""

    id: str
    name: str
    model: str
    model_fingerprint: str
    owner: str | None = Field(description="Null for what ships with a model.")
    visibility: Visibility


class WrittenPrompt(BaseModel):
    """A prompt that is not kept."""

    tensor: list[list[float | None]] = Field(description="[length, d_model]")
    cut_inputs: int = Field(default=0, description="Inputs that were too long, and cut.")
    unknown_inputs: int = Field(
        default=0, description="Inputs with characters that the model's vocabulary does not know."
    )


def check_examples(
    examples: Sequence[TaskExample], settings: Settings, limits: ModelLimits, *, truncate: bool
) -> None:
    """Raise InvalidInput, naming the field, for examples that cannot be read."""
    if len(examples) > settings.max_request_rows:
        raise InvalidInput(
            f"{len(examples)} examples; send at most {settings.max_request_rows}", field="examples"
        )
    for place, example in enumerate(examples):
        for part, text in (("input", example.input), ("target", example.target)):
            if len(text.encode()) > settings.max_row_bytes:
                raise InvalidInput(
                    f"the text has more than {settings.max_row_bytes} bytes; shorten it",
                    field=f"examples.{place}.{part}",
                )
    limits.check_inputs(
        [example.input for example in examples], truncate=truncate, field="examples", by_place=True
    )
