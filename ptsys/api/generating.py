"""What the generation of a dataset is asked, and how its inputs are found."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from ptsys.api.alternatives import one_of
from ptsys.api.context import Context
from ptsys.api.forms import Description, Shares, Texts
from ptsys.config import Settings
from ptsys.errors import InvalidInput
from ptsys.types.model import Value
from ptsys.types.names import Name
from ptsys.types.records import Visibility
from ptsys.types.requests import Decoding
from ptsys.types.text import Reference

MOST_ROWS = 10_000  # of a stored dataset whose inputs are answered


class GenerateBody(Value):
    """Inputs to answer with a stored prompt, and the dataset that its answers become."""

    model_config = ConfigDict(json_schema_extra=one_of(["inputs", "dataset"]))

    name: Name
    prompt: Reference = Field(description="A stored prompt: its id, your own name, or owner/name.")
    general: Reference | None = Field(
        default=None,
        description="For a task-specific prompt: a general prompt to use in place of its own.",
    )
    inputs: Texts | None = Field(default=None, min_length=1, examples=[["a fine film"]])
    dataset: Reference | None = Field(
        default=None,
        description=f"In place of `inputs`: a stored dataset, of at most {MOST_ROWS} rows. Its "
        "targets do not matter.",
    )
    min_score: float | None = Field(
        default=None,
        le=0,
        allow_inf_nan=False,
        description="Least certainty that is kept: the mean log-probability of an answer's tokens, "
        "nats.",
    )
    truncate: bool = Field(
        default=False, description="Cut inputs that are too long, instead of refusing them."
    )
    decoding: Decoding = Decoding()
    description: Description | None = Field(default=None, description="Unset, it says how made.")
    visibility: Visibility = "private"
    shared_with: Shares = []


def wanted_inputs(context: Context, body: GenerateBody, user: str) -> list[str]:
    """The inputs that were sent or named. Raises InvalidInput naming the field, NotFound."""
    if (body.inputs is None) == (body.dataset is None):
        raise InvalidInput("give `inputs`, or a `dataset` that has some", field="inputs")
    if body.inputs is not None:
        check_inputs(context.settings, body)
        return body.inputs
    found = context.service.datasets.get(body.dataset or "", user)
    if found.rows > MOST_ROWS:
        raise InvalidInput(
            f"dataset {found.name!r} has {found.rows} rows; name one with at most {MOST_ROWS}",
            field="dataset",
        )
    return [row.input for row in context.service.datasets.read(found.id)]


def check_inputs(settings: Settings, body: GenerateBody) -> None:
    """Raise InvalidInput naming the field for too many or too long inputs."""
    inputs = body.inputs or []
    if len(inputs) > settings.max_request_rows:
        raise InvalidInput(
            f"{len(inputs)} inputs; send at most {settings.max_request_rows}, or store them as a "
            "dataset and name it",
            field="inputs",
        )
    for place, text in enumerate(inputs):
        if len(text.encode()) > settings.max_row_bytes:
            raise InvalidInput(
                f"the text has more than {settings.max_row_bytes} bytes; shorten it",
                field=f"inputs.{place}",
            )
