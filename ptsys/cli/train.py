"""`ptsys train`: from a file of examples to a queued job, and on request to its prompt."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ptsys.cli import deployment, submitting
from ptsys.cli.examples import examples
from ptsys.cli.output import Json
from ptsys.cli.submitting import RowsFile
from ptsys.cli.training_options import Typed, Wait, flags_of
from ptsys.types.training import TrainingOptions

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


@flags_of(TrainingOptions)
def train(
    context: typer.Context,
    data: Annotated[Path, DATA],
    validation: Annotated[
        Path | None, typer.Option(help="Rows to score on as it learns, JSONL too.")
    ] = None,
    *,
    options: Typed,
    wait: Wait = False,
    as_json: Json = False,
) -> None:
    """Tune a prompt on a file of examples, or on a stored dataset that is named in its place.

    Without --wait, return as soon as it is queued.
    """
    where = deployment.of(context)
    files = [RowsFile(data, "dataset")]
    if validation is not None:
        files.append(RowsFile(validation, "validation", scored=True))
    with submitting.asked(where, TrainingOptions, options) as (client, wanted):
        job = submitting.submit(client, wanted, files, lambda ids: wanted.on(**ids))
        submitting.follow(where, client, job, wait=wait, as_json=as_json)
