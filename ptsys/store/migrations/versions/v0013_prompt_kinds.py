"""A prompt says of what kind it is; those of before are soft tokens."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Add the prompts' column."""
    column = sa.Column("kind", sa.String(16), nullable=False, server_default="tokens")
    op.add_column("prompts", column)
