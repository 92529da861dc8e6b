"""The tables. A change here needs a migration beside it; a test compares the two."""

from __future__ import annotations

import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from ptsys.store.columns import UtcDateTime


class Row(DeclarativeBase):
    """Root of all tables; names every constraint, so that migrations can speak of it."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {
        datetime.datetime: UtcDateTime(),
        dict[str, Any]: JSON(),
        list[str]: JSON(),
    }


class OwnedRow(Row):
    """What a user owns and may show to others."""

    __abstract__ = True

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    owner: Mapped[str] = mapped_column(String(200))
    visibility: Mapped[str] = mapped_column(String(16))
    created: Mapped[datetime.datetime]


class DeploymentRow(Row):
    """The one deployment that this database belongs to; its data folder bears the same id."""

    __tablename__ = "deployment"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    created: Mapped[datetime.datetime]


class DatasetRow(OwnedRow):
    """A stored dataset; its rows are a file beside the database, of so many `bytes`, NULL if nobody
    counted them yet. `generated_by` is the prompt whose answers its targets are, which may be gone
    by now."""

    __tablename__ = "datasets"
    __table_args__ = (UniqueConstraint("owner", "name"),)

    rows: Mapped[int]
    bytes: Mapped[int | None] = mapped_column(BigInteger)
    digest: Mapped[str] = mapped_column(String(64))
    description: Mapped[str | None] = mapped_column(Text)
    generated_by: Mapped[str | None] = mapped_column(String(40))


class PromptRow(OwnedRow):
    """A stored prompt's metadata; its tensor is a checkpoint beside the database.

    `changed` is when it was added, or when its tags or who may see it were last changed: what an
    index has yet to learn. `uses` counts answered requests alone; what was made from the prompt is
    counted when it is read, as far as the reader may see it. `bytes` are those of its tensor's
    numbers, NULL if nobody counted them yet.
    """

    __tablename__ = "prompts"
    __table_args__ = (
        UniqueConstraint("owner", "name"),
        Index(None, "model_fingerprint", "changed"),
        Index(None, "general"),
    )

    model: Mapped[str] = mapped_column(String(100))
    model_fingerprint: Mapped[str] = mapped_column(String(128))
    kind: Mapped[str] = mapped_column(String(16), default="tokens", server_default="tokens")
    length: Mapped[int]
    d_model: Mapped[int]
    job: Mapped[str | None] = mapped_column(String(40))
    dataset: Mapped[str | None] = mapped_column(String(200))
    initialization: Mapped[dict[str, Any]]
    hyperparameters: Mapped[dict[str, Any]]
    steps: Mapped[int]
    scores: Mapped[dict[str, Any]]
    tags: Mapped[list[str]]
    general: Mapped[str | None] = mapped_column(String(40))
    combination: Mapped[str | None] = mapped_column(String(16))
    task: Mapped[str | None] = mapped_column(String(100))
    description: Mapped[str | None] = mapped_column(Text)
    licence: Mapped[str | None] = mapped_column(String(200))
    contact: Mapped[str | None] = mapped_column(String(200))
    uses: Mapped[int] = mapped_column(BigInteger, default=0)
    bytes: Mapped[int | None] = mapped_column(BigInteger)
    changed: Mapped[datetime.datetime]


class PromptParentRow(Row):
    """A prompt that another was made from, the `place`-th. The parent may be gone by now."""

    __tablename__ = "prompt_parents"
    __table_args__ = (Index(None, "parent"),)

    prompt: Mapped[str] = mapped_column(
        String(40), ForeignKey("prompts.id", ondelete="CASCADE"), primary_key=True
    )
    place: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    parent: Mapped[str] = mapped_column(String(40))
    role: Mapped[str] = mapped_column(String(16))
    similarity: Mapped[float | None]
    weight: Mapped[float | None]


class PromptVectorRow(Row):
    """A prompt's vector of one kind, float32 in little-endian order."""

    __tablename__ = "prompt_vectors"

    prompt: Mapped[str] = mapped_column(
        String(40), ForeignKey("prompts.id", ondelete="CASCADE"), primary_key=True
    )
    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    vector: Mapped[bytes] = mapped_column(LargeBinary)


class ShareRow(Row):
    """One user who may see one dataset or prompt of another."""

    __tablename__ = "shares"
    __table_args__ = (Index(None, "user"),)

    resource: Mapped[str] = mapped_column(String(40), primary_key=True)
    user: Mapped[str] = mapped_column(String(200), primary_key=True)


class ApiKeyRow(Row):
    """Who may ask: found by the SHA-256 of the secret, which is kept nowhere."""

    __tablename__ = "api_keys"
    __table_args__ = (UniqueConstraint("hash"), Index(None, "user"))

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    hash: Mapped[str] = mapped_column(String(64))
    user: Mapped[str] = mapped_column(String(200))
    role: Mapped[str] = mapped_column(String(16))
    note: Mapped[str | None] = mapped_column(String(200))
    created: Mapped[datetime.datetime]
    revoked: Mapped[datetime.datetime | None]


class ModelRow(Row):
    """A frozen model that can be served."""

    __tablename__ = "models"

    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(128))
    source: Mapped[str] = mapped_column(Text)
    parameters: Mapped[int] = mapped_column(BigInteger)
    d_model: Mapped[int]
    vocab_size: Mapped[int]
    builtin: Mapped[bool]
    created: Mapped[datetime.datetime]


class JobRow(Row):
    """A job and the lease on it.

    `active_name` is the job's name until it ends, then NULL: with it, the database itself refuses
    a second unfinished job of that name. `fence` grows with every claim. `sequence` is the number
    of the job's last event. `sent` is when the queue last heard of the job, NULL if it must.
    `saved` is the step of its furthest checkpoint, `attempts` those that failed since, `failures`
    all that ever failed. While `solitude` is not 0 it runs alone: so many checkpoints are to pass.
    `waiting` is since when it waits, `claimed` when it last got a place, at `claimed_step`; while
    `yielding` it is about to give it back. `api_key` is the key that it was asked for with. What
    its prompts will take of its owner's quota is `promised` until it ends.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        UniqueConstraint("owner", "active_name"),
        Index(None, "state", "model", "created"),
        Index(None, "owner", "id"),
        Index(None, "worker"),
        Index(None, "finished"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    owner: Mapped[str] = mapped_column(String(200))
    name: Mapped[str] = mapped_column(String(100))
    active_name: Mapped[str | None] = mapped_column(String(100))
    model: Mapped[str] = mapped_column(String(100))
    spec: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(String(16))
    step: Mapped[int] = mapped_column(default=0)
    metrics: Mapped[dict[str, Any]] = mapped_column(default=dict)
    saved: Mapped[int] = mapped_column(default=0)
    failures: Mapped[int] = mapped_column(default=0)
    solitude: Mapped[int] = mapped_column(default=0)
    attempts: Mapped[int] = mapped_column(default=0)
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    error: Mapped[str | None] = mapped_column(Text)
    traceback: Mapped[str | None] = mapped_column(Text)
    prompt: Mapped[str | None] = mapped_column(String(40))
    worker: Mapped[str | None] = mapped_column(String(100))
    fence: Mapped[int] = mapped_column(default=0)
    waiting: Mapped[datetime.datetime | None]
    claimed: Mapped[datetime.datetime | None]
    claimed_step: Mapped[int | None]
    yielding: Mapped[bool] = mapped_column(default=False)
    api_key: Mapped[str | None] = mapped_column(String(40))
    promised_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    promised_objects: Mapped[int] = mapped_column(default=0)
    lease_expires: Mapped[datetime.datetime | None]
    sent: Mapped[datetime.datetime | None]
    sequence: Mapped[int] = mapped_column(default=0)
    created: Mapped[datetime.datetime]
    started: Mapped[datetime.datetime | None]
    finished: Mapped[datetime.datetime | None]


class JobSourceRow(Row):
    """A dataset that a job reads, for training or for scores, or a prompt that it starts from."""

    __tablename__ = "job_sources"
    __table_args__ = (Index(None, "source"),)

    job: Mapped[str] = mapped_column(
        String(40), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True
    )
    source: Mapped[str] = mapped_column(String(40), primary_key=True)


class EventRow(Row):
    """Something that happened to a job; numbered from 1 within it, without gaps."""

    __tablename__ = "events"

    job: Mapped[str] = mapped_column(
        String(40), ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True
    )
    sequence: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    time: Mapped[datetime.datetime]
    kind: Mapped[str] = mapped_column(String(16))
    data: Mapped[dict[str, Any]]


class IdempotencyRow(Row):
    """A submission that was already made: sent again, it returns the same job."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index(None, "job"), Index(None, "created"))

    owner: Mapped[str] = mapped_column(String(200), primary_key=True)
    key: Mapped[str] = mapped_column(String(200), primary_key=True)
    request: Mapped[str] = mapped_column(String(64))
    job: Mapped[str] = mapped_column(String(40), ForeignKey("jobs.id", ondelete="CASCADE"))
    created: Mapped[datetime.datetime]
