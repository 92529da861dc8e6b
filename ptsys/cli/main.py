"""`ptsys`: the entry point, the global options and the list of commands."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

import ptsys
from ptsys.cli import (
    adopt,
    augment,
    backup,
    bench,
    doctor,
    evaluate,
    failures,
    gradients,
    jobs,
    keys,
    meta,
    meta_search,
    meta_training,
    models,
    multitask,
    plan,
    predict,
    prompts,
    quickstart,
    run,
    select,
    train,
    up,
)
from ptsys.cli.deployment import Deployment
from ptsys.cli.option_types import tell_types
from ptsys.cli.signals import heed_interrupts
from ptsys.errors import InvalidInput, PtsysError
from ptsys.sharding.absent_tpu import silence_absent_tpu
from ptsys.sharding.host_memory import keep_freed_memory
from ptsys.store.faults import is_full
from ptsys.store.private_files import keep_private

_HELP = ["-h", "--help"]

app = typer.Typer(
    name="ptsys",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=True,
    context_settings={"help_option_names": _HELP},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ptsys {ptsys.__version__}")
        raise typer.Exit


@app.callback(
    epilog="First of all: ptsys quickstart\n\n"
    "Then: ptsys up, and beside it ptsys train reviews.jsonl --name reviews --wait"
)
def _global_options(
    context: typer.Context,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Where everything is kept: database, prompts, models.",
            envvar="PTSYS_DATA_DIR",
            show_default="~/.ptsys",
        ),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            help="A service to work on in place of a local folder, with the key in PTSYS_API_KEY.",
            envvar="PTSYS_URL",
        ),
    ] = None,
    user: Annotated[
        str | None,
        typer.Option(
            help="Who asks the local folder; a service knows who by the key.",
            envvar="PTSYS_USER",
            show_default="local",
        ),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say which this is.")
    ] = False,
) -> None:
    """Prompt tuning as a service: many users' soft prompts on one frozen T5, batched together.

    Commands work on the local folder --data, or, where PTSYS_URL names one, on that service; an
    --data that is typed counts more. Those about this machine work on the folder always.
    """
    typed = {name for name in ("data", "url", "user") if _typed(context, name)}
    if {"data", "url"} <= typed:
        raise InvalidInput("work in a folder (--data) or on a service, not on both", field="url")
    if "data" in typed or not url:
        url = None
    elif "user" in typed:
        raise InvalidInput(
            f"{url} knows who asks by the key in PTSYS_API_KEY; leave --user out, or name a folder "
            "with --data",
            field="user",
        )
    context.obj = Deployment(data=data, name=user, url=url)


def _typed(context: typer.Context, name: str) -> bool:
    """Whether an option stands on the command line, not in the environment."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


for module in (quickstart, up, train, multitask, augment, predict, evaluate, gradients, select):
    module.register(app)
for module in (run, plan):
    module.register(app)
doctor.register(app)
adopt.register(app)
backup.register(app)
app.add_typer(jobs.app, name="jobs")
app.add_typer(prompts.app, name="prompts")
app.add_typer(meta.app, name="meta")
meta_search.register(meta.app)
meta_training.register(meta.app)
app.add_typer(keys.app, name="keys")
app.add_typer(models.app, name="models")
app.add_typer(bench.app, name="bench")


def call(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code (see `ptsys.cli.failures`)."""
    try:
        command = typer.main.get_command(app)
        tell_types(command, _HELP)
        code = command(
            args=None if arguments is None else list(arguments),
            prog_name="ptsys",
            standalone_mode=False,
        )
    except (PtsysError, typer.TyperException) as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # the help was asked for, in a way
            typer.echo(error)
            return 0
        print(failures.line(error), file=sys.stderr)
        return failures.exit_code(error)
    except (KeyboardInterrupt, typer.Abort):
        return failures.INTERRUPTED
    except BrokenPipeError:  # whoever read our output has seen enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.filename is None and not is_full(error):
            raise  # no file's fault
        print(f"error: {error.filename or 'a file'}: {error.strerror}", file=sys.stderr)
        return 1
    return code if isinstance(code, int) else 0


def main() -> None:
    """The `ptsys` command, a process of its own."""
    keep_private()
    heed_interrupts()
    silence_absent_tpu()
    keep_freed_memory()  # before JAX's first computation; the runs and benchmarks of this process
    sys.exit(call())


if __name__ == "__main__":
    main()
