"""Unfinished jobs count against their owner's quota with what they will store."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add the jobs' columns; jobs of before promised nothing."""
    for name, kind in (("promised_bytes", sa.BigInteger()), ("promised_objects", sa.Integer())):
        op.add_column("jobs", sa.Column(name, kind, nullable=False, server_default="0"))
