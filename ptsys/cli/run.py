"""`ptsys run`: a run described by gin files."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from ptsys.cli.examples import examples
from ptsys.cli.output import Json, print_fields, print_json
from ptsys.errors import InvalidInput


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
        epilog=examples(
            "ptsys run --gin_file=gin/runs/pretrain_tiny.gin --gin.CORPUS=\"('text.txt',)\"",
            "ptsys run --gin_file=gin/runs/pretrain_tiny.gin --gin.CORPUS=\"('a.txt', 'b.txt')\" "
            "--gin.PretrainRun.steps=100 --gin.PretrainRun.output=\"'runs/short'\"",
        ),
    )(run)


def run(
    context: typer.Context,
    gin_file: Annotated[
        list[Path] | None,
        typer.Option("--gin_file", "--gin-file", help="A gin file; later ones win. Repeatable."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Start a large run without the queue, and go on with it if it was stopped.

    Bindings follow as --gin.NAME=VALUE, which win over the files. Values are Python literals, so
    strings keep their quotes.
    """
    from ptsys.runs.start import gin_bindings, start

    if not gin_file:
        raise InvalidInput("name a file: --gin_file=gin/runs/pretrain_tiny.gin", field="gin_file")
    bindings = gin_bindings(context.args)
    with contextlib.redirect_stdout(sys.stderr):  # a run shows its progress; stdout is the result's
        summary = start(gin_file, bindings)
    if as_json:
        print_json(summary)
    else:
        print_fields(summary)
