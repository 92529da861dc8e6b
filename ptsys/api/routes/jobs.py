"""`/v1/jobs`: training with the service's own optimizer."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Header, Path, Query, Response

from ptsys.api.authentication import Caller
from ptsys.api.context import Context, Shared
from ptsys.api.forms import JobView, Text, job_view
from ptsys.api.pages import Before, Limit, Page, page
from ptsys.api.problems import documented
from ptsys.types.augmentation import AugmentSpec
from ptsys.types.multitask import MultiTaskSpec, TaskSpec
from ptsys.types.records import JobState
from ptsys.types.specs import AnySpec, Spec
from ptsys.types.training import TrainingSpec

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

JobId = Annotated[Text, Path(max_length=100, description="The job's id.")]
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[\x21-\x7e]{1,200}$",
        description="Sent again with the same body, it returns the job it made before.",
    ),
]

_EXAMPLES = [
    {"name": "reviews", "dataset": "reviews", "validation": "reviews-dev", "steps": 300},
    {
        "kind": "multitask",
        "name": "support",
        "tasks": [
            {"name": "intent", "dataset": "intents"},
            {"name": "mood", "dataset": "moods", "validation": "moods-dev"},
        ],
        "combination": "concat",
    },
    {"kind": "augment", "name": "few", "dataset": "few-rows", "strategy": "auto"},
]


@router.post("", status_code=201, responses=documented(404, 408, 409, 413, 429))
def create_job(
    spec: Annotated[Spec, Body(examples=_EXAMPLES)],
    response: Response,
    caller: Caller,
    context: Shared,
    key: Key = None,
) -> JobView:
    """Queue a job that tunes prompts through one frozen model.

    Of kind `train`: one prompt on one dataset. Of kind `multitask`: a general prompt and one for
    each of several tasks, together. Without a kind, `tasks` say that it is the latter. Of kind
    `augment`: one prompt for a few rows, lifted by prompts and datasets of the library that are
    yours to see.
    """
    known = context.service.submitted(spec, caller.user, key)
    if known is None:
        _check(context, spec, caller.user)
        known = context.service.submit(
            spec,
            caller.user,
            idempotency_key=key,
            most_unfinished=context.settings.max_user_jobs,
        )
    response.headers["Location"] = f"/v1/jobs/{known.id}"
    return job_view(known)


@router.get("", responses=documented())
def list_jobs(
    caller: Caller,
    context: Shared,
    state: Annotated[JobState | None, Query(description="Only these.")] = None,
    limit: Limit = 100,
    before: Before = None,
) -> Page[JobView]:
    """Your jobs, newest first."""

    def found(count: int, last: str | None) -> list[JobView]:
        jobs = context.service.list(caller.user, state=state, limit=count, before=last)
        return [job_view(job) for job in jobs]

    return page(found, lambda job: job.id, limit, before)


@router.get("/{job}", responses=documented(404))
def get_job(job: JobId, caller: Caller, context: Shared) -> JobView:
    """A job of yours: its state, step and metrics."""
    return job_view(context.service.get(job, caller.user))


@router.post("/{job}/cancel", responses=documented(404, 409))
def cancel_job(job: JobId, caller: Caller, context: Shared) -> JobView:
    """Stop a job: at once if it waits, within a step or so if it runs. Twice is no error."""
    return job_view(context.service.cancel(job, caller.user))


def _check(context: Context, spec: AnySpec, user: str) -> None:
    """What a worker would refuse only when the job's turn has come: targets that are too long or
    missing, and inputs too short to do without one."""
    limits = context.limits(spec.model)
    datasets = context.service.datasets
    tasks: list[tuple[str, TrainingSpec | AugmentSpec | TaskSpec]]
    if isinstance(spec, MultiTaskSpec):
        tasks = [(f"tasks.{place}.", task) for place, task in enumerate(spec.tasks)]
    else:
        tasks = [("", spec)]
    for prefix, task in tasks:
        rows = datasets.read(datasets.get(task.dataset, user).id)
        limits.check_training(rows, field=f"{prefix}dataset")
        if task.validation is not None:
            rows = datasets.read(datasets.get(task.validation, user).id)
            limits.check(rows, field=f"{prefix}validation")
