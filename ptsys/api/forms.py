"""Values that bodies and queries have in common, and the views of records that users get."""

from __future__ import annotations

import datetime
from typing import Annotated

from fastapi import Path, Query
from pydantic import AfterValidator, Field

from ptsys.types.compiling import Compiling
from ptsys.types.model import Value
from ptsys.types.names import NAME, Name, User, named
from ptsys.types.public_text import without_paths, without_paths_in
from ptsys.types.records import ApiKey, Event, Job, JobState, QueuePlace, Role, Visibility
from ptsys.types.specs import JobKind, Spec
from ptsys.types.text import Line, Text
from ptsys.types.training import Tag

Texts = Annotated[list[Text], Field(fail_fast=True)]  # the first wrong one of millions is enough
Shares = Annotated[list[User], Field(max_length=1000)]
Tags = Annotated[list[Tag], Field(max_length=100)]
Description = Annotated[Text, Field(max_length=2000)]
Licence = Annotated[Text, Field(max_length=200)]
Contact = Annotated[Text, Field(max_length=200)]

NameQuery = Annotated[
    str,
    AfterValidator(named),
    Query(
        description="Letters, digits, '.', '_' and '-'.",
        examples=["reviews"],
        json_schema_extra={"pattern": NAME},
    ),
]
VisibilityQuery = Annotated[Visibility, Query(description="Who may see it.")]
SharesQuery = Annotated[
    list[User], Query(max_length=1000, description="Users who may see it, if it is shared.")
]
DescriptionQuery = Annotated[Text | None, Query(max_length=2000, description="What it is for.")]
LicenceQuery = Annotated[
    Text | None, Query(max_length=200, description="An SPDX name, or your own words.")
]
ContactQuery = Annotated[
    Text | None, Query(max_length=200, description="How to reach you, for all who may see it.")
]
OwnerQuery = Annotated[Text | None, Query(max_length=200, description="Only this user's.")]
Called = Annotated[Text | None, Query(alias="name", max_length=100, description="Only this name.")]
Reference = Annotated[Text, Path(max_length=100, description="An id, or a name of your own.")]


class Sharing(Value):
    """Who may see it from now on; what is left out stays as it is."""

    visibility: Visibility | None = None
    shared_with: Shares | None = None


class PromptChanges(Sharing):
    """What is left out stays as it is."""

    name: Name | None = None
    tags: Tags | None = None
    description: Description | None = Field(default=None, description="Empty takes it back.")
    licence: Licence | None = Field(default=None, description="An SPDX name, or your own words.")
    contact: Contact | None = Field(default=None, description="Shown to all who may see it.")


_OWN = "Told to those alone who keep the service, on its own machine."


def _untold(value: object) -> bool:
    return value is None


class JobView(Value):
    """A training job, as its owner sees it."""

    id: str
    kind: JobKind
    owner: str
    spec: Spec
    state: JobState
    step: int
    metrics: dict[str, float | None]
    attempts: int
    cancel_requested: bool
    error: str | None = Field(description="Why it failed, in one line.")
    prompt: str | None = Field(
        description="Its prompt's id, once it succeeded; of several the general one's."
    )
    created: datetime.datetime
    started: datetime.datetime | None
    finished: datetime.datetime | None
    queue: QueuePlace | None = Field(description="While it waits: where it stands in the queue.")
    worker: str | None = Field(default=None, exclude_if=_untold, description=_OWN)
    traceback: str | None = Field(default=None, exclude_if=_untold, description=_OWN)


def job_view(job: Job, *, whole: bool = False) -> JobView:
    """The job, unless `whole` without what is the service's own affair: the worker, its traceback
    and its files."""
    values = {field: getattr(job, field) for field in JobView.model_fields}
    if not whole:
        hidden = None if job.error is None else without_paths(job.error)
        values |= {"error": hidden, "worker": None, "traceback": None}
    return JobView.model_validate(values)


def event_view(event: Event, *, whole: bool = False) -> Event:
    """The event, unless `whole` without the same."""
    if whole:
        return event
    told = {key: value for key, value in event.data.items() if key not in ("worker", "traceback")}
    return event.model_copy(update={"data": without_paths_in(told)})


class KeyRequest(Value):
    """An API key to be made."""

    user: User
    role: Role = "user"
    note: Annotated[Line, Field(max_length=200)] | None = None


class NewKey(ApiKey):
    """An API key just made; its secret cannot be asked for again."""

    secret: str = Field(description="Goes into `Authorization: Bearer …`.")


class ModelView(Value):
    """A frozen model. Of its weights nothing is told but their fingerprint."""

    name: str
    fingerprint: str = Field(description="Prompts of one fingerprint fit the same weights.")
    d_model: int = Field(description="The width of its prompts.")
    max_input_length: int = Field(description="Tokens, the end of row included.")
    max_target_length: int = Field(description="Tokens, the end of row included.")
    builtin: bool
    default: bool = Field(description="Used where no model is named.")
    ready: bool = Field(description="A worker serves it now.")
    workers: int = Field(description="That serve it, or are about to.")
    compiles: list[Compiling] = Field(
        description="What its workers compile now, which answers and steps may wait for."
    )
    parameters: int
    vocab_size: int
    source: str | None = Field(description=f"Where its weights came from. {_OWN}")
    vocabulary: bool = Field(
        description="It has one; without, it keeps prompts, but neither trains nor answers."
    )
