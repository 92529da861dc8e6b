"""`ptsys train`: from a file of examples to a queued job, and on request to its prompt."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ptsys.cli import deployment, rows
from ptsys.cli.deployment import Deployment, start_command
from ptsys.cli.examples import examples
from ptsys.cli.failures import make
from ptsys.cli.output import Json, note, print_fields, print_json
from ptsys.errors import InvalidInput, JobCancelled, JobFailed

if TYPE_CHECKING:
    from ptsys.jobs.service import Service
    from ptsys.types.records import Job
    from ptsys.types.training import Initialization, TrainingSpec

OptimizerKind = Literal["adafactor", "adamw", "sgd"]
Decay = Literal["constant", "linear", "cosine"]

LEARNING_RATES: dict[OptimizerKind, float] = {"adafactor": 0.3, "adamw": 0.3, "sgd": 10.0}
"""What `--learning-rate` is when nothing is said."""

DATA = typer.Argument(metavar="DATA.jsonl", help='One {"input": "...", "target": "..."} a line.')


@dataclasses.dataclass(frozen=True)
class Files:
    """The rows of a job, still in the user's files."""

    data: Path
    validation: Path | None


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog=examples(
            "ptsys train reviews.jsonl --name reviews --wait",
            "ptsys train train.jsonl --name intents --validation dev.jsonl --steps 600",
            "ptsys train more.jsonl --name reviews-2 --init prompt:reviews --lr 0.1",
        )
    )(train)


def train(
    context: typer.Context,
    data: Annotated[Path, DATA],
    name: Annotated[str, typer.Option(help="What the prompt will be called.")],
    model: Annotated[
        str | None,
        typer.Option(help="The frozen model.", envvar="PTSYS_MODEL", show_default="tiny"),
    ] = None,
    validation: Annotated[
        Path | None, typer.Option(help="Rows to score on as it learns, JSONL too.")
    ] = None,
    steps: Annotated[int, typer.Option(help="Updates of the prompt.")] = 300,
    length: Annotated[int, typer.Option(help="Tokens in the prompt.")] = 16,
    batch_size: Annotated[int, typer.Option(help="Rows a step.")] = 16,
    optimizer: Annotated[OptimizerKind, typer.Option(help="How it is updated.")] = "adafactor",
    learning_rate: Annotated[
        float | None,
        typer.Option(
            "--learning-rate",
            "--lr",
            help="How fast.",
            show_default=", ".join(f"{rate:g} for {kind}" for kind, rate in LEARNING_RATES.items()),
        ),
    ] = None,
    weight_decay: Annotated[float, typer.Option(help="Share lost a step.")] = 0.0,
    warmup: Annotated[int, typer.Option(help="Steps until the full learning rate.")] = 0,
    decay: Annotated[Decay, typer.Option(help="The rate's way after warm-up.")] = "constant",
    init: Annotated[
        str,
        typer.Option(
            help="Where the prompt starts: shared, vocabulary, labels, text:SOME WORDS or "
            "prompt:NAME."
        ),
    ] = "shared",
    seed: Annotated[int, typer.Option(help="Of the order of rows and of random starts.")] = 0,
    max_input_length: Annotated[
        int | None, typer.Option(help="Cut inputs to this many tokens.", show_default="the model's")
    ] = None,
    evaluate_every: Annotated[int, typer.Option(help="Steps between two scores.")] = 100,
    checkpoint_every: Annotated[int, typer.Option(help="Steps between checkpoints.")] = 50,
    wait: Annotated[bool, typer.Option("--wait", help="Show it learn, until it is done.")] = False,
    as_json: Json = False,
) -> None:
    """Tune a prompt on a file of examples. Without --wait, return as soon as it is queued."""
    from ptsys.types.training import Optimizer, TrainingSpec

    where = deployment.of(context)
    spec = make(
        TrainingSpec,
        name=name,
        model=model or where.settings.model,
        dataset="",  # until it is stored
        steps=steps,
        length=length,
        batch_size=batch_size,
        optimizer=make(
            Optimizer,
            kind=optimizer,
            learning_rate=LEARNING_RATES[optimizer] if learning_rate is None else learning_rate,
            weight_decay=weight_decay,
            warmup_steps=warmup,
            decay=decay,
        ),
        initialization=initialization(init),
        seed=seed,
        max_input_length=max_input_length,
        evaluate_every=evaluate_every,
        checkpoint_every=checkpoint_every,
    )
    with where.service() as service:
        job = submit(service, spec, Files(data, validation), where.user)
        if wait:
            _wait(where, service, job, as_json)
        else:
            _say_queued(where, job, as_json)


def submit(service: Service, spec: TrainingSpec, files: Files, user: str) -> Job:
    """Check everything that can be known now, store the rows and queue the job.

    Raises InvalidInput for rows, model or options that cannot work, Conflict for a taken name.
    """
    from ptsys.jobs.limits import read_limits

    limits = read_limits(service.settings.root, spec.model)
    if spec.max_input_length is not None and spec.max_input_length < limits.max_input_length:
        limits = dataclasses.replace(limits, max_input_length=spec.max_input_length)
    changes: dict[str, Any] = {}
    found = [(files.data, "dataset")]
    if files.validation is not None:
        found.append((files.validation, "validation"))
    read = {field: (path, rows.read(path, field)) for path, field in found}
    for field, (path, examples_) in read.items():
        rows.check(path, examples_, limits, field)
    _refuse_taken_name(service, spec.name, user)
    for field, (path, examples_) in read.items():
        changes[field] = rows.store(service, path, examples_, user).id
    return service.submit(spec.model_copy(update=changes), user)


def initialization(text: str) -> Initialization:
    """The start that `--init` names. Raises InvalidInput."""
    from ptsys.types.training import Initialization

    kind, _, rest = text.partition(":")
    if kind in ("shared", "vocabulary", "labels") and not rest:
        return make(Initialization, kind=kind)
    if kind in ("text", "prompt") and rest:
        return make(Initialization, kind=kind, **{kind: rest})
    raise InvalidInput(
        f"{text!r} is no start; write shared, vocabulary, labels, text:SOME WORDS or prompt:NAME",
        field="init",
    )


def _refuse_taken_name(service: Service, name: str, user: str) -> None:
    """Before rows are stored for nothing; `service.submit` decides."""
    from ptsys.store.prompts import refuse_taken_name

    with service.database.reading() as session:
        refuse_taken_name(session, user, name)


def _say_queued(where: Deployment, job: Job, as_json: bool) -> None:
    serving = where.serving(job.spec.model)
    if as_json:
        print_json(job)
    else:
        print(job.id)
    if not serving:
        note(f"queued; start a worker with {start_command(job.spec.model)}")
    note(f"watch it: `ptsys jobs watch {job.id}`")
    note(f"then:     `ptsys predict {job.spec.name} INPUTS.jsonl`")


def _wait(where: Deployment, service: Service, job: Job, as_json: bool) -> None:
    from ptsys.cli.watching import Watched, watch

    if not where.serving(job.spec.model):
        note(f"queued; start a worker with {start_command(job.spec.model)}, this command waits")
    try:
        [ended] = watch(service, [Watched(job, job.spec.name)])
    except KeyboardInterrupt:
        note(f"the job goes on: `ptsys jobs watch {job.id}`, or `ptsys jobs cancel {job.id}`")
        raise
    report(service, ended, as_json)


def report(service: Service, job: Job, as_json: bool) -> None:
    """A finished job's prompt. Raises JobFailed or JobCancelled if it ended otherwise."""
    prompt = service.prompts.get(check_succeeded(job), job.owner)
    if as_json:
        print_json({"job": job, "prompt": prompt})
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
    note(f"next: `ptsys predict {prompt.name} INPUTS.jsonl`")


def check_succeeded(job: Job) -> str:
    """The id of a finished job's prompt. Raises JobFailed or JobCancelled if it has none."""
    from ptsys.types.records import JobState

    if job.state is JobState.FAILED:
        raise JobFailed(f"job {job.id} failed: {job.error}")
    if job.state is JobState.CANCELLED or job.prompt is None:
        raise JobCancelled(f"job {job.id} was cancelled at step {job.step}")
    return job.prompt
