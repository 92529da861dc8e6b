"""The prompt library: what a prompt was made from, its vectors, its use, and its owner's words."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the prompts' columns, and the tables of parents and vectors."""
    op.add_column("prompts", sa.Column("description", sa.Text(), nullable=True))
    op.add_column("prompts", sa.Column("licence", sa.String(length=200), nullable=True))
    op.add_column("prompts", sa.Column("contact", sa.String(length=200), nullable=True))
    op.add_column("prompts", sa.Column("uses", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("prompts", sa.Column("changed", sa.DateTime(timezone=True), nullable=True))
    op.execute("UPDATE prompts SET changed = created")
    with op.batch_alter_table("prompts") as table:
        table.alter_column("changed", nullable=False)
        table.alter_column("uses", server_default=None)
        table.drop_index(op.f("ix_prompts_model_fingerprint"))
        table.create_index(
            op.f("ix_prompts_model_fingerprint_changed"), ["model_fingerprint", "changed"]
        )
    op.create_table(
        "prompt_parents",
        sa.Column("prompt", sa.String(length=40), nullable=False),
        sa.Column("place", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("parent", sa.String(length=40), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("similarity", sa.Double(), nullable=True),
        sa.Column("weight", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["prompt"],
            ["prompts.id"],
            name=op.f("fk_prompt_parents_prompt_prompts"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("prompt", "place", name=op.f("pk_prompt_parents")),
    )
    op.create_index(op.f("ix_prompt_parents_parent"), "prompt_parents", ["parent"], unique=False)
    op.create_table(
        "prompt_vectors",
        sa.Column("prompt", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["prompt"],
            ["prompts.id"],
            name=op.f("fk_prompt_vectors_prompt_prompts"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("prompt", "kind", name=op.f("pk_prompt_vectors")),
    )
