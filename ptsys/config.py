"""Settings of a deployment, read from `PTSYS_*` environment variables."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
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
        default=3.0, ge=0, description="Longest an interactive row waits for company."
    )
    max_rows: int = Field(default=512, ge=1, description="Most rows in one compiled step.")
    max_residents: int = Field(
        default=64, ge=1, description="Training jobs in one worker's device slots at a time."
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
    max_attempts: int = Field(
        default=3, ge=1, description="Failures by fault of the service before a job fails."
    )

    @property
    def root(self) -> Path:
        """The data directory, expanded and absolute."""
        return self.data_dir.expanduser().absolute()

    @property
    def sqlalchemy_url(self) -> str:
        """The database to use."""
        return self.database_url or f"sqlite:///{self.root / 'ptsys.db'}"
