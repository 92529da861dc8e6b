"""Where a job keeps what it needs while it runs."""

from __future__ import annotations

from etils import epath


def jobs_folder(root: epath.PathLike) -> epath.Path:
    """The folders of all jobs."""
    return epath.Path(root) / "jobs"


def job_folder(root: epath.PathLike, job: str) -> epath.Path:
    """The folder of one job; nothing of it is needed once the job has ended."""
    return jobs_folder(root) / job


def checkpoints_folder(root: epath.PathLike, job: str) -> epath.Path:
    """Its checkpoints."""
    return job_folder(root, job) / "checkpoints"
