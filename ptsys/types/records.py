"""What the service remembers: jobs, events, prompts, datasets and models."""

from __future__ import annotations

import datetime
import enum
from typing import Any, Literal

from pydantic import Field

from ptsys.types.model import Value
from ptsys.types.multitask import Combination
from ptsys.types.specs import JobKind, Spec
from ptsys.types.training import TOKENS

Visibility = Literal["private", "shared", "public"]
Role = Literal["user", "admin"]


class JobState(enum.StrEnum):
    """Where a job stands. The last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """No more will happen."""
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


class QueuePlace(Value):
    """Where a waiting job stands among those that wait for the same model."""

    position: int = Field(description="1 is next.")
    waiting: int = Field(description="Jobs that wait for the model, this one too.")
    seconds: float | None = Field(
        description="How long it may wait, as the running jobs go now; null where nobody can say."
    )
    basis: str = Field(description="What that is told from, or why it is not told.")


class Job(Value):
    """A job's record: the truth about it, which a queue message only points at."""

    id: str
    kind: JobKind = "train"
    owner: str
    spec: Spec
    state: JobState
    step: int = 0
    metrics: dict[str, float] = {}
    attempts: int = 0
    cancel_requested: bool = False
    error: str | None = None
    traceback: str | None = None
    prompt: str | None = None
    worker: str | None = None
    created: datetime.datetime
    started: datetime.datetime | None = None
    finished: datetime.datetime | None = None
    queue: QueuePlace | None = None

    @property
    def planned_steps(self) -> int:
        """Updates in all: told by its worker where only that knows, else as the spec says."""
        return int(self.metrics.get("steps", self.spec.planned_steps))


class Event(Value):
    """Something that happened to a job: `state`, `progress`, `evaluation`, `checkpoint`, `log`."""

    sequence: int
    job: str
    time: datetime.datetime
    kind: Literal["state", "progress", "evaluation", "checkpoint", "log"]
    data: dict[str, Any]


ParentRole = Literal["query", "second", "start", "meta"]
"""What a prompt was to one that was made from it: the prompt that was searched for, one of those
found, (part of) where training started, or the meta-prompt that wrote it."""


class Parent(Value):
    """One prompt that another was made from. `similarity` is the search's score, `weight` its
    share of a mixture of rows or of a combined start."""

    prompt: str
    role: ParentRole
    similarity: float | None = None
    weight: float | None = None


class Prompt(Value):
    """A stored prompt's metadata; its tensor is an Orbax checkpoint.

    A task-specific prompt is one part of what the model reads: `general` is the id of the other,
    `combination` how the two are joined, and `task` its task's name; `length` counts its own
    tokens (0 where an affine map is all that is specific).

    `dataset` and `parents` are told as far as the viewer may see them. `contact` is what the owner
    agreed to show, `licence` an SPDX name or the owner's words. `uses` counts the requests that it
    answered, and the prompts made from it that the viewer may see. `bytes` are those of its
    numbers.
    """

    id: str
    name: str
    owner: str
    visibility: Visibility = "private"
    shared_with: tuple[str, ...] = ()
    model: str
    model_fingerprint: str
    kind: str = Field(default=TOKENS, description="What it is made of.")
    length: int
    d_model: int
    created: datetime.datetime
    job: str | None = None
    dataset: str | None = None
    initialization: dict[str, Any] = {}
    hyperparameters: dict[str, Any] = {}
    steps: int = 0
    scores: dict[str, float] = {}
    tags: tuple[str, ...] = ()
    general: str | None = None
    combination: Combination | None = None
    task: str | None = None
    description: str | None = None
    licence: str | None = None
    contact: str | None = None
    parents: tuple[Parent, ...] = ()
    uses: int = 0
    bytes: int | None = None


class Dataset(Value):
    """A stored set of examples; its rows are a JSONL file of so many `bytes`.

    `generated_by` is the id of the prompt whose answers its targets are, told to those who may see
    that prompt.
    """

    id: str
    name: str
    owner: str
    visibility: Visibility = "private"
    shared_with: tuple[str, ...] = ()
    rows: int
    bytes: int | None = None
    digest: str
    description: str | None = None
    generated_by: str | None = None
    created: datetime.datetime


class ApiKey(Value):
    """What is kept of an API key: the key itself is shown once, and only its hash is stored."""

    id: str
    user: str
    role: Role = "user"
    note: str | None = None
    created: datetime.datetime
    revoked: datetime.datetime | None = None


class Model(Value):
    """A frozen model that can be served."""

    name: str
    fingerprint: str
    source: str
    parameters: int
    d_model: int
    vocab_size: int
    builtin: bool = False
