"""Task-specific prompts point at their general prompt, and jobs at any number of datasets."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the prompts' columns, and move the jobs' datasets to a table of their own."""
    op.add_column("prompts", sa.Column("general", sa.String(length=40), nullable=True))
    op.add_column("prompts", sa.Column("combination", sa.String(length=16), nullable=True))
    op.add_column("prompts", sa.Column("task", sa.String(length=100), nullable=True))
    op.create_index(op.f("ix_prompts_general"), "prompts", ["general"], unique=False)
    op.create_table(
        "job_datasets",
        sa.Column("job", sa.String(length=40), nullable=False),
        sa.Column("dataset", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(
            ["job"], ["jobs.id"], name=op.f("fk_job_datasets_job_jobs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job", "dataset", name=op.f("pk_job_datasets")),
    )
    op.create_index(op.f("ix_job_datasets_dataset"), "job_datasets", ["dataset"], unique=False)
    op.execute(
        "INSERT INTO job_datasets (job, dataset) SELECT id, dataset FROM jobs UNION "
        "SELECT id, validation FROM jobs WHERE validation IS NOT NULL"
    )
    op.drop_column("jobs", "dataset")
    op.drop_column("jobs", "validation")
