"""`ptsys run`: a run described by gin files."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ptsys.cli import deployment
from ptsys.cli.examples import examples
from ptsys.cli.output import Json, print_fields, print_json, print_table
from ptsys.cli.signals import termination_raises
from ptsys.errors import InvalidInput


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
        epilog=examples(
            "ptsys run --gin_file=gin/runs/pretrain_tiny.gin --gin.CORPUS=\"('text.txt',)\"",
            "ptsys run --gin_file=gin/runs/pretrain_tiny.gin --gin.CORPUS=\"('a.txt', 'b.txt')\" "
            "--gin.PretrainRun.steps=100 --gin.PretrainRun.output=\"'runs/short'\"",
            "ptsys run --gin_file=gin/runs/build_library.gin --gin.TASKS=\"'../tasks'\"",
            "ptsys --data ~/library run --gin_file=gin/runs/build_library.gin "
            "--gin.TASKS=\"'../tasks'\" --gin.STEPS=100 --gin.BuildLibrary.include=\"('fv_*',)\"",
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
    strings keep their quotes. Ctrl-C and SIGTERM leave after a checkpoint where the run keeps some.
    The exit code is 1 if part of the run failed; the summary names it.
    """
    from ptsys.runs.start import gin_bindings, start

    settings = deployment.of(context).settings
    if not gin_file:
        raise InvalidInput("name a file: --gin_file=gin/runs/pretrain_tiny.gin", field="gin_file")
    bindings = gin_bindings(context.args)
    with (
        termination_raises(),
        contextlib.redirect_stdout(sys.stderr),  # a run shows its progress; stdout is the result's
    ):
        summary = start(gin_file, bindings, settings)
    if as_json:
        print_json(summary)
    else:
        _print(summary)
    if summary.get("failed"):
        raise typer.Exit(1)


def _print(summary: Mapping[str, Any]) -> None:
    """Lists of records as tables, then all that is one value."""
    tables = {name: value for name, value in summary.items() if _is_table(value)}
    for rows in tables.values():
        print_table(list(rows[0]), [list(row.values()) for row in rows], empty="")
    print_fields({name: value for name, value in summary.items() if name not in tables})


def _is_table(value: object) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], Mapping)
