"""`ptsys train`: from a file of examples to a queued job, and on request to its prompt."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ptsys.cli import deployment, submitting
from ptsys.cli import training_options as options
from ptsys.cli.decoding_options import Truncate
from ptsys.cli.examples import examples
from ptsys.cli.failures import make
from ptsys.cli.output import Json
from ptsys.cli.submitting import RowsFile

DATA = typer.Argument(
    metavar="DATA.jsonl",
    help='One {"input": "...", "target": "..."} a line. A row without a target is trained on by '
    "span corruption: to give back pieces cut out of its input.",
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog=examples(
            "ptsys train reviews.jsonl --name reviews --wait",
            "ptsys train train.jsonl --name intents --validation dev.jsonl --steps 600",
            "ptsys train more.jsonl --name reviews-2 --init prompt:reviews --lr 0.1",
            "ptsys train generated --name reviews-3     (a stored dataset's name)",
        )
    )(train)


def train(
    context: typer.Context,
    data: Annotated[Path, DATA],
    name: Annotated[str, typer.Option(help="What the prompt will be called.")],
    model: options.Model = None,
    validation: Annotated[
        Path | None, typer.Option(help="Rows to score on as it learns, JSONL too.")
    ] = None,
    steps: options.Steps = 300,
    length: Annotated[int, typer.Option(help="Tokens in the prompt.")] = 16,
    batch_size: options.BatchSize = 16,
    optimizer: options.OptimizerOption = "adafactor",
    learning_rate: options.LearningRate = None,
    weight_decay: options.WeightDecay = 0.0,
    warmup: options.Warmup = 0,
    decay: options.Decay = "constant",
    init: options.Init = "shared",
    seed: options.Seed = 0,
    max_input_length: options.MaxInputLength = None,
    truncate: Truncate = False,
    evaluate_every: options.EvaluateEvery = 100,
    checkpoint_every: options.CheckpointEvery = 50,
    wait: options.Wait = False,
    as_json: Json = False,
) -> None:
    """Tune a prompt on a file of examples, or on a stored dataset that is named in its place.

    Without --wait, return as soon as it is queued.
    """
    from ptsys.types.training import TrainingSpec

    where = deployment.of(context)
    spec = make(
        TrainingSpec,
        name=name,
        model=model or where.settings.model,
        dataset="",  # until it is stored
        steps=steps,
        length=length,
        batch_size=batch_size,
        optimizer=options.optimizer(optimizer, learning_rate, weight_decay, warmup, decay),
        initialization=options.initialization(init),
        seed=seed,
        max_input_length=max_input_length,
        truncate=truncate,
        evaluate_every=evaluate_every,
        checkpoint_every=checkpoint_every,
    )
    files = [RowsFile(data, "dataset")]
    if validation is not None:
        files.append(RowsFile(validation, "validation", scored=True))
    with where.service() as service:
        ids = submitting.store(service, spec, files, where.user)
        changes = {file.field: dataset for file, dataset in zip(files, ids, strict=True)}
        job = service.submit(spec.model_copy(update=changes), where.user)
        submitting.follow(where, service, job, wait=wait, as_json=as_json)
