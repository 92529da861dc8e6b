"""From rows in files and a job's spec to a queued job, and on request to its prompts."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ptsys.cli import rows
from ptsys.cli.deployment import Deployment
from ptsys.cli.output import note, print_fields, print_json, print_table
from ptsys.errors import JobCancelled, JobFailed, NotFound

if TYPE_CHECKING:
    from ptsys.jobs.service import Service
    from ptsys.types.records import Job, Prompt
    from ptsys.types.specs import AnySpec


@dataclasses.dataclass(frozen=True)
class RowsFile:
    """Rows of a job, still in the user's file, or a stored dataset's name in its place; `scored`
    are those to score on, which need targets."""

    path: Path
    field: str
    scored: bool = False


def store(service: Service, spec: AnySpec, files: Sequence[RowsFile], user: str) -> list[str]:
    """The ids of the datasets with these files' rows, once all is checked that can be known now.

    Raises InvalidInput for rows, model or options that cannot work, Conflict for a taken name.
    """
    from ptsys.jobs.limits import read_limits

    limits = read_limits(service.settings.root, spec.model)
    known = [_stored(service, file.path, user) for file in files]
    read = [
        rows.read(file.path, file.field, targets=file.scored)
        if dataset is None
        else service.datasets.read(dataset)
        for file, dataset in zip(files, known, strict=True)
    ]
    for file, found in zip(files, read, strict=True):
        rows.check(
            file.path,
            found,
            limits if file.scored else limits.reading(spec.max_input_length),
            file.field,
            truncate=spec.truncate,
            unsupervised=not file.scored,
        )
    service.check(spec, user)  # before rows are stored for nothing
    return [
        dataset or rows.store(service, file.path, found, user).id
        for file, found, dataset in zip(files, read, known, strict=True)
    ]


def _stored(service: Service, path: Path, user: str) -> str | None:
    """The id of the dataset that is named where a file could be; None if it is a file."""
    if path.suffix == ".jsonl" or path.expanduser().exists():
        return None
    try:
        return service.datasets.get(str(path), user).id
    except NotFound:
        return None


def follow(where: Deployment, service: Service, job: Job, *, wait: bool, as_json: bool) -> None:
    """Say that the job is queued; or show it learn until it is done, and its prompts."""
    if wait:
        _wait(where, service, job, as_json)
    else:
        _say_queued(where, job, as_json)


def _say_queued(where: Deployment, job: Job, as_json: bool) -> None:
    from ptsys.types.specs import prompt_names

    serving = where.serving(job.spec.model)
    if as_json:
        print_json(job)
    else:
        print(job.id)
    if not serving:
        note(f"queued; start a worker with {where.start_command(job.spec.model)}")
    note(f"watch it: {where.line(f'jobs watch {job.id}')}")
    note(f"then:     {where.line(f'predict {prompt_names(job.spec)[-1]} INPUTS.jsonl')}")


def _wait(where: Deployment, service: Service, job: Job, as_json: bool) -> None:
    from ptsys.cli.watching import Watched, watch

    if not where.serving(job.spec.model):
        note(
            f"queued; start a worker with {where.start_command(job.spec.model)}, this command waits"
        )
    try:
        [ended] = watch(service, [Watched(job, job.spec.name)])
    except KeyboardInterrupt:
        note(
            f"the job goes on: {where.line(f'jobs watch {job.id}')}, or "
            f"{where.line(f'jobs cancel {job.id}')}"
        )
        raise
    report(where, service, ended, as_json)


def report(where: Deployment, service: Service, job: Job, as_json: bool) -> None:
    """A finished job's prompts. Raises JobFailed or JobCancelled if it ended otherwise."""
    prompt = service.prompts.get(check_succeeded(job), job.owner)
    linked = service.prompts.linked(prompt, job.owner)
    if as_json:
        print_json({"job": job, "prompt": prompt, **({"tasks": linked} if linked else {})})
        return
    print_fields(
        {
            "prompt": prompt.name,
            "id": prompt.id,
            "model": prompt.model,
            "length": prompt.length,
            "steps": prompt.steps,
            "scores": prompt.scores,
        }
    )
    if linked:
        print_linked(linked)
    note(f"next: {where.line(f'predict {(linked or [prompt])[-1].name} INPUTS.jsonl')}")


def print_linked(prompts: Sequence[Prompt]) -> None:
    """The task-specific prompts of a general one, a line each."""
    print_table(
        ("task", "prompt", "combined by", "length", "scores"),
        ((x.task, x.name, x.combination, x.length, x.scores) for x in prompts),
        empty="",
    )


def check_succeeded(job: Job) -> str:
    """The id of a finished job's prompt. Raises JobFailed or JobCancelled if it has none."""
    from ptsys.types.records import JobState

    if job.state is JobState.FAILED:
        raise JobFailed(f"job {job.id} failed: {job.error}")
    if job.state is JobState.CANCELLED or job.prompt is None:
        raise JobCancelled(f"job {job.id} was cancelled at step {job.step}")
    return job.prompt
