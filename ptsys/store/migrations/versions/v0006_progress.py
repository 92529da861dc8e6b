"""Jobs know how far their last checkpoint is, how often they failed, and whether to run alone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the jobs' columns. SQLite would copy the table to drop the defaults, and lose the events
    that hang on it: the defaults stay."""
    for name in ("saved", "failures", "solitude"):
        op.add_column("jobs", sa.Column(name, sa.Integer(), nullable=False, server_default="0"))
