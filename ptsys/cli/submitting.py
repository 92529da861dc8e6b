"""From rows in files and a job's options to a queued job, and on request to its prompts."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ptsys.cli import rows
from ptsys.cli.deployment import Deployment
from ptsys.cli.failures import naming
from ptsys.cli.output import note, print_fields, print_json, print_table
from ptsys.cli.training_options import Typed, options_from
from ptsys.errors import JobCancelled, JobFailed, NotFound
from ptsys.types.meta_training import META
from ptsys.types.training import BareJobSpec, JobSpec

if TYPE_CHECKING:
    from ptsys.client import Client, JobHandle
    from ptsys.types.example import Example
    from ptsys.types.records import Dataset, Job, Prompt
    from ptsys.types.specs import AnySpec

Options = TypeVar("Options", bound=BareJobSpec)
MakeSpec = Callable[[Mapping[str, str]], "AnySpec"]
"""The job's spec, of the ids of its datasets by their fields."""


@dataclasses.dataclass(frozen=True)
class RowsFile:
    """Rows of a job, still in the user's file, or a stored dataset's name in its place; `field` is
    theirs in the job's spec, and `scored` are those to score on, which need targets."""

    path: Path
    field: str
    scored: bool = False


@contextlib.contextmanager
def asked(
    where: Deployment, kind: type[Options], typed: Typed, **more: Any
) -> Iterator[tuple[Client, Options]]:
    """The service to ask, and a job's options, with the service's own model where none is named.
    Raises InvalidInput, naming the option."""
    with where.client() as client:
        model = typed["model"] or where.model(client)
        yield client, options_from(kind, {**typed, "model": model}, **more)


def submit(
    client: Client, options: JobSpec, files: Sequence[RowsFile], spec: MakeSpec
) -> JobHandle:
    """The queued job, once its rows are checked and stored. Nothing stays stored for a job that is
    refused.

    Raises InvalidInput for rows, model or options that cannot work, Conflict for a taken name.
    """
    known = {file.field: _rows(client, file) for file in files}
    for file in files:
        rows.check(
            client,
            file.path,
            known[file.field],
            options.model,
            "score" if file.scored else "train",
            truncate=options.truncate,
            max_input_length=None if file.scored else options.max_input_length,
        )
    with client.storing() as stored:
        ids = {file.field: _stored(stored, file.path, known[file.field]) for file in files}
        return client.jobs.submit(spec(ids))


def _rows(client: Client, file: RowsFile) -> Sequence[Example] | Dataset:
    path = file.path
    if path.suffix != ".jsonl" and not path.expanduser().exists():
        try:
            return client.datasets.get(str(path))
        except NotFound:
            pass  # as a file it is told of
    with naming(path):
        return rows.read(path, file.field.rpartition(".")[2], targets=file.scored)


def _stored(
    stored: Callable[[str, Sequence[Example] | Dataset], str],
    path: Path,
    known: Sequence[Example] | Dataset,
) -> str:
    from ptsys.types.example import digest
    from ptsys.types.records import Dataset

    name = path.name if isinstance(known, Dataset) else rows.dataset_name(path, digest(known))
    return stored(name, known)


def follow(where: Deployment, client: Client, job: JobHandle, *, wait: bool, as_json: bool) -> None:
    """Say that the job is queued; or show it learn until it is done, and its prompts."""
    if wait:
        _wait(where, client, job, as_json)
    else:
        _say_queued(where, client, job.record, as_json)


def _say_queued(where: Deployment, client: Client, job: Job, as_json: bool) -> None:
    from ptsys.types.specs import prompt_names

    if as_json:
        print_json(job)
    else:
        print(job.id)
    if not client.models.get(job.spec.model).workers:
        note(f"queued; {_no_worker(where, job.spec.model)}")
    note(f"watch it: {where.line(f'jobs watch {job.id}')}")
    made = f"{job.spec.name}.TASK" if job.spec.kind == "write" else prompt_names(job.spec)[-1]
    note(f"then:     {where.line(_use(job, made))}")


def _no_worker(where: Deployment, model: str) -> str:
    if where.url is not None:
        return f"no worker serves model {model} at {where.url} now"
    return f"start a worker with {where.start_command(model)}"


def _wait(where: Deployment, client: Client, job: JobHandle, as_json: bool) -> None:
    from ptsys.cli.watching import Watched, watch

    model = job.record.spec.model
    if not client.models.get(model).workers:
        note(f"queued; {_no_worker(where, model)}, this command waits")
    try:
        [ended] = watch(client, [Watched(job, job.record.spec.name)])
    except KeyboardInterrupt:
        note(
            f"the job goes on: {where.line(f'jobs watch {job.id}')}, or "
            f"{where.line(f'jobs cancel {job.id}')}"
        )
        raise
    report(where, client, ended, as_json)


def report(where: Deployment, client: Client, job: Job, as_json: bool) -> None:
    """A finished job's prompts. Raises JobFailed or JobCancelled if it ended otherwise."""
    if job.spec.kind == "write":
        _report_written(where, job, as_json)
        return
    prompt = client.prompts.get(check_succeeded(job))
    linked = _in_order(client.prompts.linked(prompt), job)
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
    note(f"next: {where.line(_use(job, [prompt, *linked][-1].name))}")


def _use(job: Job, prompt: str) -> str:
    """The command that uses what a job made."""
    if job.spec.kind == META:
        return f"meta generate --examples FEW.jsonl --meta {prompt} --name NEW"
    return f"predict {prompt} INPUTS.jsonl"


def _report_written(where: Deployment, job: Job, as_json: bool) -> None:
    """How many prompts a job wrote; those of one that was cancelled stay too."""
    _refuse_failed(job)
    failed = int(job.metrics.get("failed", 0))
    if as_json:
        print_json({"job": job})
        return
    rate = job.metrics.get("prompts_a_second")
    print_fields(
        {
            "prompts": job.step - failed,
            "failed": failed or None,
            "prompts a second": None if rate is None else round(rate, 1),
            "named": f"{job.spec.name}.TASK",
        }
    )
    if failed:
        note(f"why: {where.line(f'jobs watch {job.id} --json')}")
    note(f"next: {where.line(f'predict {job.spec.name}.TASK INPUTS.jsonl')}")


def _in_order(prompts: Sequence[Prompt], job: Job) -> list[Prompt]:
    """The prompts of a job's tasks as the job names them: all were made in one moment."""
    from ptsys.types.multitask import MultiTaskSpec

    if not isinstance(job.spec, MultiTaskSpec):
        return list(prompts)
    places = {task.name: place for place, task in enumerate(job.spec.tasks)}
    return sorted(prompts, key=lambda one: places.get(one.task or "", len(places)))


def print_linked(prompts: Sequence[Prompt]) -> None:
    """The task-specific prompts of a general one, a line each."""
    print_table(
        ("task", "prompt", "combined by", "length", "scores"),
        ((x.task, x.name, x.combination, x.length, x.scores) for x in prompts),
        empty="",
    )


def check_succeeded(job: Job) -> str:
    """The id of a finished job's prompt. Raises JobFailed or JobCancelled if it has none."""
    _refuse_failed(job)
    if job.prompt is None:
        raise JobFailed(f"job {job.id} made no prompt of its own")
    return job.prompt


def _refuse_failed(job: Job) -> None:
    from ptsys.types.records import JobState

    if job.state is JobState.FAILED:
        raise JobFailed(f"job {job.id} failed: {job.error}")
    if job.state is not JobState.SUCCEEDED:
        raise JobCancelled(f"job {job.id} was cancelled at step {job.step}")
