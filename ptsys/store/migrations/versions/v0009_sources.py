"""Jobs name the prompts that they read beside the datasets; what is stored has a size."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Make one table of all that jobs read, and add the columns of sizes: those of before are
    unknown until they are counted."""
    op.create_table(
        "job_sources",
        sa.Column("job", sa.String(length=40), nullable=False),
        sa.Column("source", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(
            ["job"], ["jobs.id"], name=op.f("fk_job_sources_job_jobs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job", "source", name=op.f("pk_job_sources")),
    )
    op.create_index(op.f("ix_job_sources_source"), "job_sources", ["source"], unique=False)
    op.execute("INSERT INTO job_sources (job, source) SELECT job, dataset FROM job_datasets")
    _add_prompts()
    op.drop_table("job_datasets")
    for table in ("datasets", "prompts"):
        op.add_column(table, sa.Column("bytes", sa.BigInteger(), nullable=True))


def _add_prompts() -> None:
    """Of the jobs that have not ended."""
    connection = op.get_bind()
    jobs = connection.execute(
        sa.text("SELECT id, spec FROM jobs WHERE active_name IS NOT NULL")
    ).all()
    for job, told in jobs:
        spec = json.loads(told) if isinstance(told, str) else told
        start = spec.get("initialization", {})
        named = {start.get("prompt") if start.get("kind") == "prompt" else None, spec.get("query")}
        for prompt in sorted(name for name in named if name):
            connection.execute(
                sa.text("INSERT INTO job_sources (job, source) VALUES (:job, :source)"),
                {"job": job, "source": prompt},
            )
