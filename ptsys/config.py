"""Settings of a deployment, read from `PTSYS_*` environment variables."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Where things live and how the service behaves. Every field is also `PTSYS_<FIELD>`."""

    model_config = SettingsConfigDict(env_prefix="PTSYS_", extra="ignore", frozen=True)

    data_dir: Path = Field(
        default=Path("~/.ptsys"),
        description="Root of the database, datasets, prompts, checkpoints and compilation cache.",
    )
    redis_url: str | None = Field(
        default=None, description="Redis to use; unset starts an embedded one under data_dir."
    )
    database_url: str | None = Field(
        default=None, description="SQLAlchemy URL; unset is SQLite under data_dir."
    )
    user: str = Field(default="local", description="Who the command line acts for.")
    model: str = Field(default="tiny", description="The frozen model used when none is named.")

    max_wait_ms: float = Field(
        default=100.0,
        ge=0,
        description="Longest an interactive row that could run waits for company; never longer "
        "than a seventh of what the last step took.",
    )
    max_rows: int = Field(default=512, ge=1, description="Most rows in one compiled step.")
    max_residents: int = Field(
        default=64, ge=1, description="Training jobs in one worker's device slots at a time."
    )
    model_shards: int = Field(
        default=1, ge=1, description="Devices that share the frozen model's weights."
    )
    weights: Literal["float32", "bfloat16", "int8"] = Field(
        default="float32",
        description="How the frozen model is kept: bfloat16 on accelerators, int8 to halve it "
        "once more.",
    )
    remat: Literal["none", "dots", "layer"] = Field(
        default="none",
        description="What the backward pass computes again to save memory; `ptsys plan` tells.",
    )
    chunk_positions: int | None = Field(
        default=None,
        ge=8,
        description="Positions of prompts and inputs that a data shard holds at a time; unset "
        "suits the devices, `ptsys plan` tells.",
    )
    lease_seconds: float = Field(
        default=15.0, gt=0, description="A worker silent for this long loses its jobs."
    )
    reconcile_seconds: float = Field(
        default=5.0, gt=0, description="How often lost jobs are looked for and sent again."
    )
    resend_seconds: float = Field(
        default=15.0, gt=0, description="A queued job nobody took for this long is announced anew."
    )
    turn_seconds: float = Field(
        default=60.0,
        gt=0,
        description="A training job keeps its place so long before another user's takes its turn.",
    )
    max_attempts: int = Field(
        default=3,
        ge=1,
        description="Failures in a row by fault of the service, with no checkpoint between them, "
        "before a job fails.",
    )

    keep_jobs_days: float = Field(
        default=90.0,
        ge=0,
        description="How long ended jobs are kept, with their events; 0 keeps them for ever. What "
        "they made stays.",
    )
    trash_days: float = Field(
        default=14.0,
        ge=0,
        description="How long files that no record explains lie in the data folder's trash before "
        "they are deleted.",
    )

    coordinator: str | None = Field(
        default=None,
        description="host:port of process 0, where several processes serve one model together; "
        "see docs/multi_host.md. Unset is one process alone, on a TPU pod all of its hosts.",
    )
    processes: int | None = Field(
        default=None, ge=1, description="How many processes serve together."
    )
    process_id: int | None = Field(
        default=None, ge=0, description="This process's number among them; 0 leads."
    )
    group_port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description="Port on the coordinator's host where process 0 tells the others what to do; "
        "unset is one above the coordinator's.",
    )
    group_token: str | None = Field(
        default=None, repr=False, description="A secret that all processes of a group share."
    )
    join_seconds: float = Field(
        default=600.0,
        gt=0,
        description="Longest that a group waits for its processes, and then for their models.",
    )
    silence_seconds: float = Field(
        default=10.0, gt=0, description="A process of a group silent for this long is lost."
    )
    step_seconds: float = Field(
        default=600.0, gt=0, description="Longest that a process of a group may take for a step."
    )

    drain_seconds: float = Field(
        default=9.0,
        gt=0,
        description="Longest that a worker or API that was asked to end takes for what it began; "
        "give it longer than a step takes, and less than who would kill it gives.",
    )
    drained_exit_code: int = Field(
        default=0,
        ge=0,
        le=125,
        description="Exit code of a worker that SIGTERM ended in order; a controller that restarts "
        "failures alone wants another than 0, as 75.",
    )
    idle_exit_seconds: float | None = Field(
        default=None,
        gt=0,
        description="A worker that had no job and no request for so long ends, with exit code 0; "
        "unset is never.",
    )
    log_format: Literal["text", "json"] = Field(
        default="text", description="How the API and workers log: JSON lines carry ids."
    )
    traces: bool = Field(
        default=False,
        description="Send OpenTelemetry traces of requests and jobs where "
        "OTEL_EXPORTER_OTLP_ENDPOINT says; needs the extra `traces`.",
    )
    log_requests: bool = Field(
        default=False,
        description="Log a line for each HTTP request: method, path without names, status, "
        "milliseconds.",
    )
    worker_host: str = Field(
        default="127.0.0.1", description="Where a worker's probes and metrics listen."
    )
    worker_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="Port of a worker's /healthz, /startupz, /readyz and /metrics; unset is none.",
    )
    metrics_users: bool = Field(
        default=False,
        description="Let workers' metrics name users: rows and device seconds of each.",
    )

    api_host: str = Field(default="127.0.0.1", description="Where the HTTP API listens.")
    api_port: int = Field(default=8765, ge=0, le=65535, description="The HTTP API's port.")
    api_concurrency: int = Field(
        default=256, ge=1, description="Predictions and gradients under way in one API process."
    )
    leave_seconds: float = Field(
        default=0.0,
        ge=0,
        description="How long an API that was asked to end goes on serving while /readyz tells "
        "balancers to leave it.",
    )
    request_seconds: float = Field(
        default=180.0, gt=0, description="Longest a prediction or gradient may take over HTTP."
    )
    allowed_hosts: str = Field(
        default="*",
        description="Names that the HTTP API is asked by, with commas between; `*` is any, "
        "`*.x.org` those below x.org.",
    )
    metrics: Literal["open", "admins", "closed"] = Field(
        default="open", description="Who may read the API's /metrics."
    )
    search_seconds: float = Field(
        default=20.0,
        gt=0,
        description="Longest that a search waits for the prompt it is trained with; then it "
        "answers 202 and names the job.",
    )
    max_connections: int = Field(
        default=1000, ge=1, description="Most connections to one API process."
    )
    max_address_connections: int = Field(
        default=500,
        ge=1,
        description="Most of them from one address (of IPv6: one network of 64 bits); behind a "
        "proxy all have the proxy's.",
    )
    header_seconds: float = Field(
        default=10.0, gt=0, description="Longest arrival of an HTTP request's head."
    )
    max_header_bytes: int = Field(
        default=128 * 2**10, ge=1024, description="Longest head of an HTTP request, its path too."
    )
    body_seconds: float = Field(
        default=20.0, gt=0, description="Longest pause in the arrival of an HTTP request's body."
    )
    max_body_bytes: int = Field(
        default=64 * 2**20, ge=1024, description="Largest HTTP request body, unzipped."
    )
    whole_body_seconds: float = Field(
        default=300.0, gt=0, description="Longest arrival of an HTTP request's whole body."
    )
    max_bodies_bytes: int = Field(
        default=512 * 2**20,
        ge=2048,
        description="Most bytes of all HTTP bodies under way together, unzipped; half of it for "
        "one user's.",
    )
    reader_bytes: int = Field(
        default=1536 * 2**20,
        ge=64 * 2**20,
        description="Most memory that the reading of one large body may take, where the system "
        "minds it; two are read at a time.",
    )
    max_request_rows: int = Field(
        default=512, ge=1, description="Most rows in one prediction or gradient request."
    )
    max_row_bytes: int = Field(
        default=256 * 2**10, ge=1, description="Longest text of one row in such a request, UTF-8."
    )
    rows_per_minute: int = Field(
        default=60_000, ge=1, description="Rows a user may send for prediction or gradients."
    )
    max_user_jobs: int = Field(
        default=64, ge=1, description="Unfinished training jobs a user of the HTTP API may have."
    )
    max_user_streams: int = Field(
        default=32,
        ge=1,
        description="Event streams a user may have open at a time, in one API process.",
    )
    max_user_bytes: int = Field(
        default=10 * 2**30,
        ge=1,
        description="Bytes of datasets and prompts a user of the HTTP API may store.",
    )
    max_user_objects: int = Field(
        default=10_000,
        ge=1,
        description="Datasets and prompts a user of the HTTP API may store.",
    )

    @field_validator("data_dir")
    @classmethod
    def _refuse_buckets(cls, value: Path) -> Path:
        """A bucket's URL would be taken for a folder here, of that name."""
        scheme = value.parts[0] if value.parts else ""
        if scheme.endswith(":") and len(scheme) > 2:  # a drive has one letter
            raise ValueError(
                f"{scheme}//… is a bucket or a server; name a folder that all hosts share, see "
                "docs/deploy.md, «Object storage»"
            )
        return value

    @property
    def root(self) -> Path:
        """The data directory, expanded and absolute."""
        return self.data_dir.expanduser().absolute()

    @property
    def sqlalchemy_url(self) -> str:
        """The database to use."""
        return self.database_url or f"sqlite:///{self.root / 'ptsys.db'}"
