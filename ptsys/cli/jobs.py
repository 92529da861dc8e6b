"""`ptsys jobs`: what was asked for, how far it is, and stopping it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Annotated

import typer

from ptsys.cli import deployment
from ptsys.cli.examples import examples
from ptsys.cli.output import Json, ago, note, print_fields, print_json, print_table
from ptsys.types.augmentation import AugmentSpec
from ptsys.types.meta_training import MetaSpec
from ptsys.types.multitask import MultiTaskSpec
from ptsys.types.records import Job, JobState, QueuePlace
from ptsys.types.specs import AnySpec
from ptsys.types.writing import WriteSpec

app = typer.Typer(no_args_is_help=True, help="Your training jobs.")

JobId = Annotated[str, typer.Argument(metavar="ID", help="As `ptsys jobs list` shows it.")]


@app.command("list", epilog=examples("ptsys jobs list", "ptsys jobs list --state running --json"))
def list_jobs(
    context: typer.Context,
    state: Annotated[JobState | None, typer.Option(help="Only these.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 20,
    as_json: Json = False,
) -> None:
    """List your jobs, newest first."""
    with deployment.of(context).client() as client:
        found = [job.record for job in itertools.islice(client.jobs.list(state=state), limit)]
    if as_json:
        print_json(found)
        return
    print_table(
        ("job", "prompt", "model", "state", "step", "made"),
        ([*_row(job), ago(job.created)] for job in found),
        empty="no jobs yet; `ptsys train DATA.jsonl --name NAME` makes one",
    )


@app.command(epilog=examples("ptsys jobs show job-0e6hx2", "ptsys jobs show job-0e6hx2 --json"))
def show(context: typer.Context, job: JobId, as_json: Json = False) -> None:
    """Show all that is known of a job, and why it failed if it did."""
    with deployment.of(context).client() as client:
        found = client.jobs.get(job).record
    if as_json:
        print_json(found)
        return
    spec = found.spec
    print_fields(
        {
            "job": found.id,
            "prompt": f"{spec.name} ({found.prompt})" if found.prompt else spec.name,
            "model": spec.model,
            "state": found.state,
            "queue": _queue(found.queue),
            "cancel asked": "yes" if found.cancel_requested else None,
            "step": f"{found.step}/{found.planned_steps}",
            "metrics": _metrics(found),
            "error": found.error,
            **_data(spec),
            **_way(spec),
            "worker": found.worker,
            "attempts": found.attempts,
            "made": ago(found.created),
            "ended": ago(found.finished) if found.finished else None,
            "traceback": found.traceback,
        }
    )
    if isinstance(spec, MultiTaskSpec):
        _print_tasks(spec, found.metrics)
    elif isinstance(spec, AugmentSpec):
        _print_candidates(found.metrics)


@app.command(epilog=examples("ptsys jobs watch job-0e6hx2", "ptsys jobs watch job-0e6hx2 --json"))
def watch(context: typer.Context, job: JobId, as_json: Json = False) -> None:
    """Show a job as it learns, until it ends; with --json its events, one a line."""
    from ptsys.cli.submitting import report
    from ptsys.cli.watching import Watched
    from ptsys.cli.watching import watch as watch_jobs

    where = deployment.of(context)
    with where.client() as client:
        found = client.jobs.get(job)
        if as_json:
            for event in found.events():
                print_json(event, indent=None)
            return
        spec, state = found.record.spec, found.record.state
        if not state.final and not client.models.get(spec.model).workers:
            note(f"no worker runs; {where.start_line(spec.model)}")
        [ended] = watch_jobs(client, [Watched(found, spec.name)])
        report(where, client, ended, as_json=False)


@app.command(epilog=examples("ptsys jobs cancel job-0e6hx2"))
def cancel(context: typer.Context, job: JobId, as_json: Json = False) -> None:
    """Stop a job: at once if it waits, within a step or so if it runs."""
    with deployment.of(context).client() as client:
        found = client.jobs.get(job).cancel()
    if as_json:
        print_json(found)
    elif found.state is JobState.CANCELLED:
        note(f"job {job} is cancelled")
    else:
        note(f"job {job} stops soon: its worker was asked")


def _queue(place: QueuePlace | None) -> str | None:
    if place is None:
        return None
    wait = "" if place.seconds is None else f", about {place.seconds:.0f} s"
    return f"{place.position} of {place.waiting}{wait} ({place.basis})"


def _way(spec: AnySpec) -> dict[str, object]:
    """How it learns."""
    if isinstance(spec, WriteSpec):
        return {}
    return {
        "optimizer": f"{spec.optimizer.kind}, rate {spec.optimizer.learning_rate:g}",
        "start": spec.initialization.kind,
        "length, batch": f"{spec.length} tokens, {spec.batch_size} rows",
    }


def _data(spec: AnySpec) -> dict[str, object]:
    """What it learns from, or writes for."""
    if isinstance(spec, WriteSpec):
        return {
            "tasks": spec.dataset,
            "written by": f"{spec.meta_prompt}, {spec.aggregate} of at most {spec.examples}",
        }
    if isinstance(spec, MetaSpec):
        scored = sum(spec.scored())
        return {
            "tasks": f"{len(spec.tasks)}, of which {scored} are scored on",
            "method": f"{spec.method}, {spec.tasks_per_step} tasks a step, {spec.aggregate} of at "
            f"most {spec.examples} examples",
        }
    if not isinstance(spec, MultiTaskSpec):
        rows: dict[str, object] = {"dataset": spec.dataset, "validation": spec.validation}
        return rows | (_library(spec) if isinstance(spec, AugmentSpec) else {})
    return {
        "tasks": f"{len(spec.tasks)}, each with {spec.specific_length} tokens of its own",
        "combination": spec.combination,
        "mixing": spec.mixing,
    }


def _library(spec: AugmentSpec) -> dict[str, object]:
    """What it takes from the library."""
    rounds = f", {spec.rounds} rounds" if spec.rounds > 1 else ""
    return {
        "query": spec.query or f"trained, {spec.query_steps} steps",
        "strategy": f"{spec.strategy}, {spec.neighbours} neighbours by {spec.metric}{rounds}",
    }


def _metrics(job: Job) -> dict[str, float]:
    """Those of the job as a whole."""
    return {name: x for name, x in job.metrics.items() if "/" not in name and name != "steps"}


def _print_candidates(metrics: Mapping[str, float]) -> None:
    """A line for each way that an augmentation tried, once it has chosen."""
    names = [name.partition("/")[2] for name in metrics if name.startswith("validation_loss/")]
    if names:
        kinds = ("accuracy", "token_f1", "validation_loss")
        print_table(
            ("candidate", *(kind.replace("_", " ") for kind in kinds)),
            ((name, *(metrics.get(f"{kind}/{name}") for kind in kinds)) for name in names),
            empty="",
        )


def _print_tasks(spec: MultiTaskSpec, metrics: Mapping[str, float]) -> None:
    """A line for each task: what it learns from, and how it stands."""

    def of(task: str, kind: str) -> object:
        return metrics.get(f"{kind}/{task}")

    print_table(
        ("task", "prompt", "dataset", "validation", "loss", "accuracy"),
        (
            (
                *(one.name, spec.prompt_name(one.name), one.dataset, one.validation),
                *(of(one.name, "loss"), of(one.name, "accuracy")),
            )
            for one in spec.tasks
        ),
        empty="",
    )


def _row(job: Job) -> list[object]:
    step = f"{job.step}/{job.planned_steps}"
    return [job.id, job.spec.name, job.spec.model, job.state, step]
