"""Datasets know the prompt that made them; prompts made from one are counted when it is read."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_MADE = (
    "(SELECT COUNT(DISTINCT prompt_parents.prompt) FROM prompt_parents "
    "WHERE prompt_parents.parent = prompts.id AND prompt_parents.role <> 'query')"
)


def upgrade() -> None:
    """Add the datasets' column, and take what was made from a prompt out of its count of uses."""
    op.add_column("datasets", sa.Column("generated_by", sa.String(length=40), nullable=True))
    op.execute(f"UPDATE prompts SET uses = uses - {_MADE} WHERE uses >= {_MADE}")
