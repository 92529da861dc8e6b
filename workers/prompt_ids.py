"""The ids of the prompts that jobs make."""

from __future__ import annotations

import re


def prompt_id(job: str, task: int | None = None) -> str:
    """The id of the prompt that a job makes, or of that of its task number `task`: however often
    the job runs, they are the same."""
    return "pr-" + job.removeprefix("job-") + ("" if task is None else f"-{task}")


def job_of(prompt: str) -> str:
    """The job that makes a prompt of this id, if one does: `prompt_id` the other way."""
    return "job-" + re.sub(r"-\d+$", "", prompt.removeprefix("pr-"))
