"""The database knows to which deployment, and so to which data folder, it belongs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from ptsys.store.columns import UtcDateTime

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the table; the id is written when the database is first opened beside its folder."""
    op.create_table(
        "deployment",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("created", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_deployment"),
    )
