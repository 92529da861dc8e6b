"""Searching the library by rows: a prompt is trained on them first, and kept for the next time."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence

from ptsys.errors import Conflict, JobFailed, NotFound
from ptsys.jobs.limits import ModelLimits
from ptsys.jobs.promises import stored_size
from ptsys.jobs.service import Service
from ptsys.types.example import Example, digest
from ptsys.types.library import QUERY_STEPS, QUERY_TAG
from ptsys.types.records import Dataset, Job, JobState, Prompt
from ptsys.types.storage import Quota
from ptsys.types.training import TrainingSpec

_DIGITS = 16  # of the name that tells one query from another


def query_prompt(
    service: Service,
    user: str,
    rows: Sequence[Example],
    limits: ModelLimits,
    *,
    dataset: Dataset | None = None,
    steps: int = QUERY_STEPS,
    truncate: bool = False,
    most_unfinished: int | None = None,
    api_key: str | None = None,
    quota: Quota | None = None,
) -> Prompt | Job:
    """The user's prompt that was trained on these very rows to search with, or the job that is
    training it, submitted now if there is none; the rows are stored unless they are those of a
    `dataset`. Asked again once the job has ended, it is the prompt.

    The prompt is private and tagged, and nobody's result. Raises InvalidInput for rows that the
    model cannot learn or, unless `truncate`, cannot read whole, QuotaExceeded and StorageUsedUp as
    `Service.submit`, Conflict if something else has the name.
    """
    name = _name(rows, limits, steps)
    found = _there(service, user, name)
    if found is not None:
        return found
    field = "examples" if dataset is None else "dataset"
    limits.check_training(rows, truncate=truncate, field=field)
    spec = TrainingSpec(
        name=name,
        model=limits.model,
        dataset=(dataset or _stored(service, user, name, rows, quota)).id,
        steps=steps,
        truncate=truncate,
        tags=(QUERY_TAG,),
    )
    try:
        return service.submit(
            spec,
            user,
            most_unfinished=most_unfinished,
            api_key=api_key,
            quota=quota,
            promised=stored_size(spec, limits),
        )
    except Conflict:
        found = _there(service, user, name)  # asked twice at the same moment
        if found is None:
            raise
        return found


def trained(service: Service, job: Job) -> Prompt:
    """The prompt of a query's job that has ended. Raises JobFailed if it has none."""
    if job.prompt is None:
        raise JobFailed(
            f"the query's job {job.id} "
            + (f"failed: {job.error}" if job.state is JobState.FAILED else f"was {job.state}")
        )
    return service.prompts.get(job.prompt, job.owner)


def _name(rows: Sequence[Example], limits: ModelLimits, steps: int) -> str:
    """Other rows, weights or steps make another prompt."""
    told = f"{digest(rows)} {limits.fingerprint} {limits.model} {steps}"
    return f"{QUERY_TAG}-{hashlib.sha256(told.encode()).hexdigest()[:_DIGITS]}"


def _there(service: Service, user: str, name: str) -> Prompt | Job | None:
    job = service.unfinished(name, user)
    if job is not None:
        return job
    try:
        prompt = service.prompts.get(name, user)
    except NotFound:
        return None
    if QUERY_TAG not in prompt.tags:
        raise Conflict(f"you have another prompt {name!r}; rename it, the query needs the name")
    return prompt


def _stored(
    service: Service, user: str, name: str, rows: Sequence[Example], quota: Quota | None
) -> Dataset:
    """The rows under the query's name; not even a dataset that was given this name by hand can
    stand for others."""
    for _ in range(2):
        try:
            known = service.datasets.get(name, user)
        except NotFound:
            with contextlib.suppress(Conflict):  # asked twice at the same moment
                return service.datasets.add(name, user, rows, quota=quota)
        else:
            if known.digest == digest(rows):
                return known
    raise Conflict(f"you have another dataset {name!r}; delete it, the query needs the name")
