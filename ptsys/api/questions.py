"""The bodies of `/v1/predict` and `/v1/gradients`, from the wire to what a worker takes."""

from __future__ import annotations

from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field

from ptsys.api.alternatives import one_of
from ptsys.api.context import SMALL_BODY, Context
from ptsys.api.forms import Texts
from ptsys.api.json_bodies import validated
from ptsys.api.media_types import JSON, SAFETENSORS, Kind, content_type, json_object
from ptsys.api.tensors import Rows, from_rows, structure_bytes
from ptsys.api.writing import check_examples
from ptsys.errors import InvalidInput
from ptsys.jobs.limits import ModelLimits
from ptsys.kinds.registry import kind_of
from ptsys.prompts.check import check_prompt
from ptsys.prompts.safetensors_format import decode_tree, encode_tree
from ptsys.types.model import Value
from ptsys.types.requests import (
    GENERIC,
    MOST_EXAMPLES,
    MOST_MEMBERS,
    Decoding,
    Ensemble,
    MetaReference,
    TaskExample,
)
from ptsys.types.text import Reference, Text

KINDS: tuple[Kind, ...] = (JSON, SAFETENSORS)
_METADATA = "request"

SMALL_BYTES = 256 * 1024
"""Tensors up to this size cost less than a thread's wake-up: they are read and written at once."""

_SMALL_REQUEST = 64 * 1024  # as their JSON beside them, which is parsed faster than a thread wakes


class _Question(Value):
    model: Text = Field(default="tiny", description="A frozen model's name.", max_length=100)
    prompt: Reference | None = Field(
        default=None, description="A stored prompt: its id, your own name, or owner/name."
    )
    general: Reference | None = Field(
        default=None,
        description="For a task-specific prompt: a general prompt to use in place of its own.",
    )
    tensor: Rows | None = Field(
        default=None, description="A prompt of your own, [length, d_model]."
    )
    inputs: Texts = Field(min_length=1, examples=[["a fine film"]])
    truncate: bool = Field(
        default=False, description="Cut inputs that are too long, instead of refusing them."
    )


class PredictBody(_Question):
    """Rows to answer with one prompt, with several, or with none: the bare model."""

    model_config = ConfigDict(json_schema_extra=one_of(["prompt", "tensor"], none=True))

    prompts: list[Reference] = Field(
        default=[],
        max_length=MOST_MEMBERS,
        json_schema_extra={"uniqueItems": True},
        description="In place of `prompt`: stored prompts of one task, asked in one pass.",
    )
    ensemble: Ensemble = Field(
        default="vote",
        description="How the answers of several prompts become one: that which most give, or the "
        "label of the best mean score.",
    )
    examples: list[TaskExample] = Field(
        default=[],
        max_length=MOST_EXAMPLES,
        description="In place of `prompt`: rows of the task, from which a prompt is written first.",
    )
    meta: MetaReference = GENERIC
    decoding: Decoding = Decoding()

    @property
    def rows(self) -> int:
        """What the request costs."""
        return len(self.inputs) * max(len(self.prompts), 1) + len(self.examples)


class GradientsBody(_Question):
    """Rows to differentiate: the loss is the mean over all target tokens (nats)."""

    model_config = ConfigDict(json_schema_extra=one_of(["prompt", "tensor"]))

    targets: Texts = Field(min_length=1, examples=[["positive"]])

    @property
    def rows(self) -> int:
        """What the request costs."""
        return len(self.inputs)


class Gradients(BaseModel):
    """The loss and its gradient. A float that is not finite is null."""

    loss: float | None = Field(description="Mean over all target tokens, nats.")
    tokens: int = Field(description="Target tokens in all rows.")
    row_losses: list[float | None] = Field(description="Each row's mean over its tokens, nats.")
    predictions: list[str] = Field(description="The likeliest token at each place of the target.")
    cut_inputs: int = Field(default=0, description="Inputs that were too long, and cut.")
    unknown_inputs: int = Field(
        default=0, description="Inputs with characters that the model's vocabulary does not know."
    )
    gradient: list[list[float | None]] = Field(description="[length, d_model]")


class Answer(BaseModel):
    """One row's answer."""

    prediction: str
    score: float | None = Field(description="Log-probability, summed over tokens, nats.")
    label_scores: dict[str, float | None] | None = None


class Predictions(BaseModel):
    """The answers, in the order of the inputs."""

    predictions: list[Answer]
    cut_inputs: int = Field(default=0, description="Inputs that were too long, and cut.")
    unknown_inputs: int = Field(
        default=0, description="Inputs with characters that the model's vocabulary does not know."
    )


Body = TypeVar("Body", PredictBody, GradientsBody)


async def read_question(
    request: Request, context: Context, kind: type[Body]
) -> tuple[Body, bytes | None]:
    """The question and its tensor as safetensors, checked as far as no worker is needed.

    Raises Refused for a body of another kind, InvalidInput naming the field for a wrong one.
    """
    given = content_type(request, KINDS)
    data = await request.body()
    structure = structure_bytes(data, given)
    if structure > SMALL_BODY:
        value, tensor = await context.readers.read(kind.__name__, data, given)
        return kind.model_validate(value), tensor
    if len(data) <= SMALL_BYTES and structure <= _SMALL_REQUEST and given == SAFETENSORS:
        return parse_question(context, data, given, kind)
    return await context.in_thread(parse_question, context, data, given, kind)


def documented_body(name: str, example: dict[str, Any]) -> dict[str, Any]:
    """What OpenAPI says of a question's body, whose JSON form is the schema `name`."""
    binary = {
        "type": "string",
        "format": "binary",
        "description": "One tensor `prompt` [length, d_model], or those of another kind of prompt "
        "by name, and in the metadata `request`: the "
        "JSON body without `prompt` and `tensor`.",
    }
    schema = {"$ref": f"#/components/schemas/{name}"}
    content = {JSON: {"schema": schema, "example": example}, SAFETENSORS: {"schema": binary}}
    return {"requestBody": {"required": True, "content": content}}


def header(body: PredictBody | GradientsBody) -> dict[str, Any]:
    """What goes to the worker beside the tensor."""
    return body.model_dump(mode="json", exclude={"tensor", "truncate"})


def parse_question(
    context: Context, data: bytes, given: Kind, kind: type[Body]
) -> tuple[Body, bytes | None]:
    """As `read_question`, from a body's bytes."""
    if given == JSON:
        body = validated(kind, json_object(data))
        tree = None if body.tensor is None else {"prompt": from_rows(body.tensor)}
    else:
        tree, notes = decode_tree(data)
        if _METADATA not in notes:
            raise InvalidInput(
                "the safetensors file's metadata has no 'request', the question as JSON",
                field=_METADATA,
            )
        body = validated(kind, json_object(notes[_METADATA].encode(), field=_METADATA))
        if body.tensor is not None:
            raise InvalidInput("the prompt's tensor is in the file already", field="tensor")
    if tree is not None and body.prompt is not None:
        raise InvalidInput("name a stored prompt or send a tensor, not both", field="prompt")
    if body.general is not None and body.prompt is None:
        raise InvalidInput("name the stored task-specific prompt it goes with", field="general")
    if isinstance(body, PredictBody):
        _check_ensemble(body, tree is not None)
        _refuse_two_ways(body, tree is not None)
    elif tree is None and body.prompt is None:
        raise InvalidInput("name a stored prompt or send a tensor", field="prompt")
    limits = context.limits(body.model)
    _check_rows(context, body, limits)
    if tree is None:
        return body, None
    if given == JSON:
        tree = {
            name: check_prompt(leaf, limits.d_model, model=body.model, field="tensor")
            for name, leaf in tree.items()
        }
    return body, encode_tree(kind_of(tree).check(tree, limits, body.model))


def _check_ensemble(body: PredictBody, tensor: bool) -> None:
    if body.prompts and (tensor or body.prompt is not None):
        raise InvalidInput("give one prompt or several stored ones, not both", field="prompts")
    if len(set(body.prompts)) < len(body.prompts):
        raise InvalidInput("a prompt stands there twice; give each once", field="prompts")
    if body.prompts and body.ensemble == "mean" and not body.decoding.labels:
        raise InvalidInput(
            "the mean of scores needs labels to score: give `decoding.labels`, or vote",
            field="ensemble",
        )


def _refuse_two_ways(body: PredictBody, tensor: bool) -> None:
    named = tensor or body.prompt is not None or bool(body.prompts)
    if body.examples and named:
        raise InvalidInput(
            "give examples to write a prompt from, or a prompt, not both", field="examples"
        )


def _check_rows(context: Context, body: PredictBody | GradientsBody, limits: ModelLimits) -> None:
    settings = context.settings
    if body.rows > settings.max_request_rows:
        raise InvalidInput(
            f"{body.rows} rows, counted once for each prompt; send at most "
            f"{settings.max_request_rows} at a time",
            field="inputs",
        )
    _check_texts(body.inputs, "inputs", settings.max_row_bytes)
    limits.check_inputs(body.inputs, truncate=body.truncate, field="inputs", by_place=True)
    if isinstance(body, PredictBody) and body.examples:
        check_examples(body.examples, settings, limits, truncate=body.truncate)
    if isinstance(body, GradientsBody):
        _check_targets(body, limits, settings.max_row_bytes)
    elif body.decoding.labels is not None:
        _check_labels(body.decoding.labels, limits)


def _check_targets(body: GradientsBody, limits: ModelLimits, most: int) -> None:
    if len(body.targets) != len(body.inputs):
        raise InvalidInput(
            f"{len(body.inputs)} inputs but {len(body.targets)} targets", field="targets"
        )
    _check_texts(body.targets, "targets", most)
    for place, target in enumerate(body.targets):
        if not target.strip():
            raise InvalidInput("the target is empty; give the answer", field=f"targets.{place}")
    limits.target_tokens(body.targets, field="targets")


def _check_labels(labels: tuple[str, ...], limits: ModelLimits) -> None:
    field = "decoding.labels"
    if len(set(labels)) < len(labels):
        raise InvalidInput("a label stands there twice; give each once", field=field)
    limits.target_tokens(labels, field=field)


def _check_texts(texts: list[str], field: str, most: int) -> None:
    for place, text in enumerate(texts):
        if len(text.encode()) > most:
            raise InvalidInput(
                f"the text has more than {most} bytes; shorten it", field=f"{field}.{place}"
            )
