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
from ptsys.cli.submit_run import submit_run
from ptsys.errors import InvalidInput

_TUNE = "--gin_file=gin/runs/prompt_tune.gin"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
        epilog=examples(
            f"ptsys run {_TUNE} --gin_file=gin/recipes/tiny.gin --gin.TASKS=\"'../tasks'\"",
            f"ptsys run {_TUNE} --gin.MODEL=\"'t5_base'\" --gin.TASKS=\"'../tasks'\" --dry-run",
            f"ptsys run {_TUNE} --gin_file=gin/recipes/tiny.gin --gin.TASKS=\"'../tasks'\" "
            "--submit --wait",
            "ptsys run --gin_file=gin/runs/evaluate.gin --gin.TASKS=\"'../tasks'\"",
            "ptsys --data ~/library run --gin_file=gin/runs/build_library.gin "
            "--gin.TASKS=\"'../tasks'\" --gin.STEPS=100 --gin.BuildLibrary.include=\"('fv_*',)\"",
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
    gin_bindings: Annotated[
        list[str] | None,
        typer.Option(
            "--gin_bindings",
            "--gin-bindings",
            metavar="NAME=VALUE",
            help="As --gin.NAME=VALUE, in T5X's other form. Repeatable.",
        ),
    ] = None,
    gin_search_paths: Annotated[
        list[str] | None,
        typer.Option(
            "--gin_search_paths",
            "--gin-search-paths",
            metavar="FOLDER,…",
            help="Look for gin files, and for what they include, here too. Repeatable.",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print the configuration and the plan, and do nothing."),
    ] = False,
    submit: Annotated[
        bool,
        typer.Option("--submit", help="Queue the run for the workers of this deployment."),
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="With --submit: follow the jobs to their end.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Start a large run that gin files describe, and go on with it if it was stopped.

    It runs in place, without the queue. gin/runs has the runs (prompt_tune, multitask, evaluate,
    infer, meta_generate, build_library, pretrain_tiny), gin/tasks says where tasks come from,
    gin/recipes has hyperparameters; docs/large_runs.md tells more.

    Bindings follow as --gin.NAME=VALUE, which win over the files. Values are Python literals, so
    strings keep their quotes. Ctrl-C and SIGTERM leave after a checkpoint where the run keeps some.
    The exit code is 1 if part of the run failed; the summary names it.
    """
    from ptsys.runs import start

    where = deployment.of(context)
    settings = where.settings
    if not gin_file:
        raise InvalidInput("name a file: --gin_file=gin/runs/prompt_tune.gin", field="gin_file")
    bindings = start.gin_bindings(context.args, gin_bindings or ())
    paths = [one for folders in gin_search_paths or () for one in folders.split(",") if one]
    if wait and not submit:
        raise InvalidInput("it goes with --submit; a run in place waits anyhow", field="wait")
    if dry_run:
        with contextlib.redirect_stdout(sys.stderr):
            text, plan = start.dry_run(gin_file, bindings, settings, paths)
        _print_plan(text, plan, as_json)
        return
    if submit:
        with contextlib.redirect_stdout(sys.stderr):
            requests, data, owner = start.job_requests(gin_file, bindings, settings, paths)
        where = deployment.Deployment(
            where.data if data is None else Path(data), owner or where.name
        )
        if not submit_run(where, requests, wait=wait, as_json=as_json):
            raise typer.Exit(1)
        return
    with (
        termination_raises(),
        contextlib.redirect_stdout(sys.stderr),  # a run shows its progress; stdout is the result's
    ):
        summary = start.start(gin_file, bindings, settings, paths)
    if as_json:
        print_json(summary)
    else:
        _print(summary)
    if summary.get("failed"):
        raise typer.Exit(1)


def _print_plan(text: str, plan: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        print_json({"configuration": text, "plan": plan})
        return
    print(text)
    _print(plan)


def _print(summary: Mapping[str, Any]) -> None:
    """Lists of records as tables, then all that is one value."""
    tables = {name: value for name, value in summary.items() if _is_table(value)}
    for rows in tables.values():
        print_table(list(rows[0]), [list(row.values()) for row in rows], empty="")
    print_fields({name: value for name, value in summary.items() if name not in tables})


def _is_table(value: object) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], Mapping)
