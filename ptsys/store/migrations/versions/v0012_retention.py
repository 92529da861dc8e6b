"""What is forgotten is found by when it ended or was made, and a job by what hangs on it."""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0010"


def upgrade() -> None:
    """Add the indexes."""
    op.create_index(op.f("ix_jobs_finished"), "jobs", ["finished"], unique=False)
    for column in ("job", "created"):
        name = op.f(f"ix_idempotency_keys_{column}")
        op.create_index(name, "idempotency_keys", [column], unique=False)
