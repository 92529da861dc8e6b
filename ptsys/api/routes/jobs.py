"""`/v1/jobs`: training with the service's own optimizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Body, Header, Path, Query, Response

from ptsys.api.authentication import Caller
from ptsys.api.context import Context, Shared
from ptsys.api.forms import JobView, OwnerQuery, job_view
from ptsys.api.pages import Before, Limit, Page, page
from ptsys.api.problems import documented
from ptsys.data.told_task import gathered, told_rows
from ptsys.errors import Forbidden, InvalidInput
from ptsys.jobs.promises import stored_size
from ptsys.jobs.prompt_fits import check_made, check_weights
from ptsys.types.augmentation import AugmentSpec
from ptsys.types.example import Example
from ptsys.types.meta_training import MetaSpec, MetaTask
from ptsys.types.multitask import MultiTaskSpec, TaskSpec
from ptsys.types.records import ApiKey, Job, JobState
from ptsys.types.specs import AnySpec, Spec, named_prompts
from ptsys.types.storage import Usage
from ptsys.types.text import Text
from ptsys.types.training import TrainingSpec
from ptsys.types.writing import WriteSpec

if TYPE_CHECKING:  # vocabularies and numpy: whoever lists jobs does without
    from ptsys.jobs.limits import ModelLimits

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
    {
        "kind": "meta",
        "name": "letters",
        "tasks": [{"name": "first", "dataset": "firsts"}, {"name": "last", "dataset": "lasts"}],
    },
    {"kind": "augment", "name": "few", "dataset": "few-rows", "strategy": "auto"},
    {"kind": "write", "name": "many", "dataset": "many-tasks", "aggregate": "mean"},
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
    yours to see. Of kind `write`: a prompt for each of many tasks, which a meta-prompt writes in
    one pass; a step is a prompt, and each is there as soon as it is written. Of kind `meta`: a
    meta-prompt, which learns on many tasks to write prompts.
    """
    known = context.service.submitted(spec, caller.user, key)
    if known is None:
        _check(context, spec, caller.user)
        known = context.service.submit(
            spec,
            caller.user,
            idempotency_key=key,
            most_unfinished=context.settings.max_user_jobs,
            api_key=caller.id or None,
            quota=context.quota,
            promised=_promised(context, spec, caller.user),
        )
    response.headers["Location"] = f"/v1/jobs/{known.id}"
    return _view(context, known)


@router.get("", responses=documented(403))
def list_jobs(
    caller: Caller,
    context: Shared,
    state: Annotated[JobState | None, Query(description="Only these.")] = None,
    owner: OwnerQuery = None,
    everyone: Annotated[bool, Query(description="Of all users. For admins.")] = False,
    limit: Limit = 100,
    before: Before = None,
) -> Page[JobView]:
    """Your jobs, newest first. An admin may ask for those of another owner, or of everyone."""
    if caller.role != "admin" and (everyone or owner not in (None, caller.user)):
        raise Forbidden("the jobs of other users are for keys of role 'admin'")
    whose = owner if owner is not None else None if everyone else caller.user

    def found(count: int, last: str | None) -> list[JobView]:
        jobs = context.service.list(whose, state=state, limit=count, before=last)
        return _views(context, jobs)

    return page(found, lambda job: job.id, limit, before)


@router.get("/{job}", responses=documented(404))
def get_job(job: JobId, caller: Caller, context: Shared) -> JobView:
    """A job of yours: its state, step and metrics; while it waits, its place in the queue. An admin
    may ask for anybody's."""
    return _view(context, context.service.get(job, seen_by(caller)))


@router.post("/{job}/cancel", responses=documented(404, 409))
def cancel_job(job: JobId, caller: Caller, context: Shared) -> JobView:
    """Stop a job: at once if it waits, within a step or so if it runs. Twice is no error. An admin
    may stop anybody's."""
    found = context.service.get(job, seen_by(caller))
    reason = None if found.owner == caller.user else "cancelled by an admin of the service"
    return _view(context, context.service.cancel(job, found.owner, reason=reason))


def seen_by(caller: ApiKey) -> str | None:
    """Whose jobs the caller may see: their own, or those of all (None)."""
    return None if caller.role == "admin" else caller.user


def _view(context: Context, job: Job) -> JobView:
    return _views(context, [job])[0]


def _views(context: Context, jobs: Sequence[Job]) -> list[JobView]:
    """The jobs as users see them; those that wait with their place in the queue."""
    if any(job.state is JobState.QUEUED for job in jobs):
        jobs = context.queues.told(jobs, context.places())
    return [job_view(job, whole=context.owner is not None) for job in jobs]


def _promised(context: Context, spec: AnySpec, user: str) -> Usage:
    """What the job will store."""
    tasks = 0
    if isinstance(spec, WriteSpec):
        tasks = context.service.datasets.get(spec.dataset, user).rows
    return stored_size(spec, context.limits(spec.model), tasks)


def _check_told(spec: WriteSpec, rows: Sequence[Example], limits: ModelLimits) -> None:
    """Whether prompts can be written for the tasks that these rows tell of."""
    found = told_rows(rows, "dataset")
    tasks = gathered(
        found, spec.examples, described=spec.described, prefix=spec.prefix, field="dataset"
    )
    for task in tasks:
        inputs = [example.input for example in task.examples]
        try:
            limits.check_inputs(inputs, truncate=spec.truncate, field="dataset")
        except InvalidInput as error:
            raise InvalidInput(f"task {task.name}: {error}", field="dataset") from None


def _check_shown(rows: Sequence[Example], field: str) -> None:
    """Whether rows can be shown to a meta-prompt and asked. Raises InvalidInput."""
    if len(rows) < 2:
        raise InvalidInput(
            f"{len(rows)} row; a task needs one to show and another to ask", field=field
        )
    for number, row in enumerate(rows, start=1):
        if row.target is None:
            raise InvalidInput(f"row {number}: 'target' is missing; give the answer", field=field)


def _check(context: Context, spec: AnySpec, user: str) -> None:
    """What a worker would refuse only when the job's turn has come: a prompt that cannot be of its
    kind, so long, or start there; targets that are too long, missing or not to be written, and
    inputs too short to do without one; and what it would cut."""
    limits = context.limits(spec.model)
    check_made(spec, limits)
    for field, prompt in named_prompts(spec).items():
        check_weights(context.service.prompts.get(prompt, user), limits, field)
    datasets = context.service.datasets
    if isinstance(spec, WriteSpec):
        _check_told(spec, datasets.read(datasets.get(spec.dataset, user).id), limits)
        return
    tasks: Sequence[TrainingSpec | AugmentSpec | TaskSpec | MetaTask]
    tasks = spec.tasks if isinstance(spec, MultiTaskSpec | MetaSpec) else [spec]
    for place, task in enumerate(tasks):
        prefix = "" if task is spec else f"tasks.{place}."
        rows = datasets.read(datasets.get(task.dataset, user).id)
        reading = limits.reading(spec.max_input_length)
        reading.check_training(rows, truncate=spec.truncate, field=f"{prefix}dataset")
        if isinstance(task, MetaTask):
            _check_shown(rows, f"{prefix}dataset")
        elif task.validation is not None:
            rows = datasets.read(datasets.get(task.validation, user).id)
            limits.check(rows, truncate=spec.truncate, field=f"{prefix}validation")
