"""What is asked of the prompt library, and what it finds."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from ptsys.types.meta_training import META
from ptsys.types.model import Value
from ptsys.types.records import Dataset, Prompt, Visibility
from ptsys.types.requests import GENERIC
from ptsys.types.text import Text
from ptsys.types.training import Tag

VectorKind = Literal["mean", "token", "projection"]
"""What is made of a prompt to compare it by; see `ptsys.library.vectors`."""

VECTOR_KINDS: tuple[VectorKind, ...] = ("mean", "token", "projection")
"""All of them, in the order in which a meta-prompt keeps its vectors."""

MOST_NUMBERS = 4096
"""Of a vector: as many as the widest T5's soft tokens have. A wider change is projected to them."""

DEFAULT_KIND: VectorKind = "token"

QUERY_TAG = "query"
"""Prompts with this tag were trained to search with. They are nobody's results."""

Word = Annotated[Text, Field(max_length=200)]

MOST_FOUND = 100  # results of one search
QUERY_STEPS = 100  # updates of a prompt that is trained to search with


def _in_utc(moment: datetime.datetime) -> datetime.datetime:
    if moment.tzinfo is None:
        return moment.replace(tzinfo=datetime.UTC)
    try:
        return moment.astimezone(datetime.UTC)
    except OverflowError:
        raise ValueError("there is no such moment in UTC") from None


def began_shared(initialization: Mapping[str, Any]) -> bool:
    """Whether a prompt that began so began where others did, or may have: at the shared start, at
    another prompt, or at what the model's own meta-prompt writes to the shared start's end."""
    kind = initialization.get("kind") or "shared"
    if kind != "meta":
        return kind in ("shared", "prompt")
    tail = (
        initialization.get("aggregate") in ("mean", "joint") or initialization.get("examples") == 0
    )
    return tail and initialization.get("meta_prompt") == GENERIC


def compares(kind: str, initialization: Mapping[str, Any]) -> bool:
    """Whether a prompt of a kind that began so may be compared with others: where a meta-prompt
    began does not matter, as it is compared by the prompts it was trained on."""
    return kind == META or began_shared(initialization)


class Filters(Value):
    """Which prompts may be found; what is left out does not matter."""

    model: Word | None = Field(default=None, description="Only this model's.")
    owner: Word | None = Field(default=None, description="Only this user's.")
    prompt_kind: Word | None = Field(
        default=None,
        description="Only prompts of this kind, such as `tokens`; `meta` are those that write "
        "prompts, near a prompt of the tasks they were trained on.",
    )
    tags: tuple[Tag, ...] = Field(
        default=(), fail_fast=True, max_length=20, description="With all of these."
    )
    licence: Word | None = Field(
        default=None, description="Under this licence; case does not matter."
    )
    visibility: Visibility | None = Field(
        default=None, description="Private ones of yours, or public ones, or shared ones."
    )
    min_accuracy: float | None = Field(
        default=None, ge=0, le=1, description="With at least this accuracy on validation rows."
    )
    created_after: Annotated[datetime.datetime, AfterValidator(_in_utc)] | None = Field(
        default=None, description="Made after this moment; without a zone it is UTC."
    )


class Found(Value):
    """A prompt that was found, as the one who asked may see it.

    `score` says how near it is, or how well its words fit. `comparable` is false of a prompt that
    was brought in from elsewhere: nobody knows whether it began where others did, so its score
    may say nothing.
    """

    prompt: Prompt
    score: float
    dataset: Dataset | None = Field(
        default=None, description="What it was trained on, if that is yours to see."
    )
    comparable: bool = True
