"""Interactive requests: predict, gradients, encode and emit. Nothing of them is ever stored."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ptsys.types.model import Value
from ptsys.types.text import MOST_LABELS, Label, Text

MOST_TOKENS = 512  # of an answer


Labels = Annotated[
    tuple[Label, ...],
    Field(
        fail_fast=True,
        min_length=1,
        max_length=MOST_LABELS,
        json_schema_extra={"uniqueItems": True},
    ),
]


class Decoding(Value):
    """How predictions are made. `labels` scores the given strings instead of generating."""

    method: Literal["greedy", "sample", "beam"] = "greedy"
    max_tokens: int = Field(default=32, ge=1, le=MOST_TOKENS)
    temperature: float = Field(default=1.0, gt=0, le=100)
    top_p: float = Field(default=1.0, gt=0, le=1)
    beams: int = Field(default=4, ge=1, le=64)
    length_penalty: float = Field(default=0.6, ge=0, le=10)
    seed: int = Field(default=0, ge=0, lt=2**31)
    labels: Labels | None = None


class Prediction(Value):
    """One answer and its log-probability a row (summed over tokens, nats)."""

    prediction: str
    score: float
    label_scores: dict[str, float] | None = None


Aggregate = Literal["each", "mean", "joint"]
"""How what is made of examples becomes a prompt: see `ptsys.prompts.meta.written`."""

GENERIC = "generic"
"""The meta-prompt that ships with a model."""

MOST_EXAMPLES = 128
"""That a prompt is written from."""

Ensemble = Literal["vote", "mean"]
MOST_MEMBERS = 64  # prompts of an ensemble


class TaskExample(Value):
    """A row of a task that a prompt is to be written for, with its answer."""

    input: Text
    target: Label


Examples = Annotated[tuple[TaskExample, ...], Field(max_length=MOST_EXAMPLES)]
MetaReference = Annotated[
    Text,
    Field(
        max_length=300,
        description="A meta-prompt: its id, your own name, owner/name, or `generic`, which ships "
        "with the model.",
    ),
]


class EmitRequest(Value):
    """A task to write a prompt for, told by examples, in words, or both: float32
    [length, d_model]."""

    model: Text = "tiny"
    meta: MetaReference = GENERIC
    examples: Examples = ()
    description: Text | None = None
    aggregate: Aggregate = "each"


General = Annotated[
    Text | None,
    Field(description="For a task-specific prompt: another general prompt than its own."),
]


class PredictRequest(Value):
    """Rows to answer with one prompt: a stored prompt's id, or none for the bare model, or the
    tensor sent beside the request (float32 [length, d_model]); or with several stored prompts of
    one task, whose answers are made one by `ensemble`; or with the prompt that `meta` writes from
    `examples`.

    A task-specific prompt is combined with its general one, or with `general`."""

    model: Text = "tiny"
    prompt: Text | None = None
    general: General = None
    prompts: tuple[Text, ...] = Field(default=(), max_length=MOST_MEMBERS)
    ensemble: Ensemble = Field(
        default="vote",
        description="The answer most prompts give, or the label of the best mean score.",
    )
    examples: Examples = ()
    meta: MetaReference = GENERIC
    inputs: tuple[Text, ...]
    decoding: Decoding = Decoding()

    @model_validator(mode="after")
    def _one_way(self) -> PredictRequest:
        if self.prompts and self.prompt is not None:
            raise ValueError("give `prompt` or `prompts`, not both")
        if self.prompts and self.general is not None:
            raise ValueError("`general` goes with one `prompt`, not with `prompts`")
        if self.prompts and self.ensemble == "mean" and not self.decoding.labels:
            raise ValueError("the mean of scores needs `decoding.labels`; or vote")
        if self.examples and (self.prompt is not None or self.prompts):
            raise ValueError("give `examples` to write a prompt from, or a prompt, not both")
        return self


class GradientsRequest(Value):
    """Rows to differentiate: the loss is the mean over all target tokens of the rows (nats).

    The gradient is that of the prompt which the model reads: of a task-specific one its
    combination with the general one."""

    model: Text = "tiny"
    prompt: Text | None = None
    general: General = None
    inputs: tuple[Text, ...]
    targets: tuple[Text, ...]


class EncodeRequest(Value):
    """Rows whose encodings are wanted, read behind a stored prompt, the tensor sent beside the
    request, or none: float32 [rows, d_model]."""

    model: Text = "tiny"
    prompt: Text | None = None
    general: General = None
    inputs: tuple[Text, ...]
