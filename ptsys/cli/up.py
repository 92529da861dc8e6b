"""`ptsys up` and `ptsys worker`: the service in the foreground."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated

import typer

from ptsys.cli import deployment
from ptsys.cli.examples import examples
from ptsys.cli.output import messages, note
from ptsys.cli.signals import termination_raises

_TEND_SECONDS = 1.0

Data = Annotated[Path | None, typer.Option(help="As the global --data.", show_default=False)]
Model = Annotated[
    str | None,
    typer.Option(help="The frozen model to serve.", envvar="PTSYS_MODEL", show_default="tiny"),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        epilog=examples("ptsys up", "ptsys up --data ./service --model t5-small --workers 2")
    )(up)
    app.command(
        epilog=examples(
            "ptsys worker",
            "PTSYS_REDIS_URL=redis://queue:6379/0 PTSYS_DATABASE_URL=postgresql+psycopg://db/ptsys "
            "ptsys worker --model t5-large",
        )
    )(worker)


def up(
    context: typer.Context,
    data: Data = None,
    model: Model = None,
    workers: Annotated[
        int, typer.Option(min=1, max=64, help="Worker processes; one a machine is usual.")
    ] = 1,
) -> None:
    """Run the service here until Ctrl-C: Redis (embedded unless PTSYS_REDIS_URL) and workers.

    Ctrl-C and SIGTERM let the workers write their checkpoints first; jobs go on at the next start.
    """
    from ptsys.cli.stack import Stack
    from ptsys.jobs.limits import read_limits

    where = deployment.of(context, data)
    name = model or where.settings.model
    with where.service() as service:  # makes the folder and the tables, once and before all workers
        root = service.settings.root
        read_limits(root, name)
    with termination_raises():
        stack = Stack(where.settings, model=name, workers=workers, note=note)
        try:
            with stack:
                with messages().status("starting") as status:
                    stack.wait_until_ready(lambda text: status.update(text))
                _say_ready(root, name, workers)
                while True:
                    time.sleep(_TEND_SECONDS)
                    stack.tend()
        except KeyboardInterrupt:
            note("stopped; queued and running jobs go on at the next `ptsys up`")


def worker(context: typer.Context, data: Data = None, model: Model = None) -> None:
    """Run one worker here, in the foreground, on a Redis that runs already."""
    from ptsys.cli.worker_process import environment, worker_command
    from ptsys.jobs.limits import read_limits
    from ptsys.jobs.redis_server import locate

    where = deployment.of(context, data)
    name = model or where.settings.model
    read_limits(where.settings.root, name)
    locate(where.settings).check()
    command = worker_command(name)
    os.execve(command[0], command, environment(where.settings))


def _say_ready(root: Path, model: str, workers: int) -> None:
    count = "1 worker" if workers == 1 else f"{workers} workers"
    option = "" if os.environ.get("PTSYS_DATA_DIR") else _data_option(root)
    note(f"ready: model {model}, {count}, data in {root}, logs in {root / 'logs'}")
    note("in another terminal:")
    note(f"  ptsys{option} train DATA.jsonl --name NAME --wait")
    note(f"  ptsys{option} predict NAME INPUTS.jsonl")
    note("Ctrl-C stops it and loses no step.")


def _data_option(root: Path) -> str:
    return "" if root == Path("~/.ptsys").expanduser().absolute() else f" --data {root}"
