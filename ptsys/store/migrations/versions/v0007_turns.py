"""Jobs know since when they wait and since when they have a place, for turns between users, and
by which API key they were asked for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the jobs' columns; those that wait have waited since they were made."""
    moment = sa.DateTime(timezone=True)
    op.add_column("jobs", sa.Column("waiting", moment, nullable=True))
    op.add_column("jobs", sa.Column("claimed", moment, nullable=True))
    op.add_column("jobs", sa.Column("claimed_step", sa.Integer(), nullable=True))
    op.add_column(
        "jobs", sa.Column("yielding", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.add_column("jobs", sa.Column("api_key", sa.String(length=40), nullable=True))
    op.execute("UPDATE jobs SET waiting = created WHERE state = 'queued'")
