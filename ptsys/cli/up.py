"""`ptsys up`, `ptsys worker` and `ptsys api`: the service in the foreground."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ptsys.cli import deployment
from ptsys.cli.examples import examples
from ptsys.cli.output import note, working
from ptsys.cli.signals import termination_raises

if TYPE_CHECKING:
    from ptsys.cli.local_key import LocalKey

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
    app.command(epilog=examples("ptsys api", "ptsys api --host 0.0.0.0 --port 80"))(api)


def up(
    context: typer.Context,
    data: Data = None,
    model: Model = None,
    workers: Annotated[
        int, typer.Option(min=1, max=64, help="Worker processes; one a machine is usual.")
    ] = 1,
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help="Of the HTTP API.", show_default="8765, or one that is free"
        ),
    ] = None,
) -> None:
    """Run the service here until Ctrl-C: Redis (embedded unless PTSYS_REDIS_URL), workers, API.

    Ctrl-C and SIGTERM let the workers write their checkpoints first; jobs go on at the next start.
    """
    from ptsys.cli.local_key import local_key
    from ptsys.jobs.limits import read_limits
    from ptsys.stack.ports import free_port
    from ptsys.stack.stack import Stack

    where = deployment.of(context, data)
    name = model or where.settings.model
    with where.service() as service:  # makes the folder and the tables, once and before all workers
        root = service.settings.root
        read_limits(root, name)
        key = local_key(service, where.user)
    listening = free_port(where.settings.api_host, port, where.settings.api_port)
    with termination_raises():
        stack = Stack(where.settings, model=name, workers=workers, api_port=listening, note=note)
        try:
            with stack:
                with working("starting") as status:
                    stack.wait_until_ready(status)
                _say_ready(root, name, workers)
                _say_api(where.settings.api_host, listening, key)
                while True:
                    time.sleep(_TEND_SECONDS)
                    stack.tend()
        except KeyboardInterrupt:
            note("stopped; queued and running jobs go on at the next `ptsys up`")


def worker(context: typer.Context, data: Data = None, model: Model = None) -> None:
    """Run one worker here, in the foreground, on a Redis that runs already.

    Several that serve one model together know each other by PTSYS_COORDINATOR, PTSYS_PROCESSES and
    PTSYS_PROCESS_ID; only number 0 needs Redis and the database.
    """
    from ptsys.jobs.limits import read_limits
    from ptsys.jobs.redis_server import locate
    from ptsys.stack.worker_process import environment, worker_command

    where = deployment.of(context, data)
    name = model or where.settings.model
    if not where.settings.process_id:
        read_limits(where.settings.root, name)
        locate(where.settings).check()
    command = worker_command(name)
    os.execve(command[0], command, environment(where.settings))


def api(
    context: typer.Context,
    data: Data = None,
    host: Annotated[
        str | None, typer.Option(help="Where to listen.", show_default="127.0.0.1")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Where to listen.", show_default="8765")
    ] = None,
) -> None:
    """Run the HTTP API alone, in the foreground. It finds Redis and the database by PTSYS_*."""
    from ptsys.stack.worker_process import api_command, environment

    where = deployment.of(context, data)
    with where.service():  # makes the folder and the tables, and says what is wrong with them
        pass
    settings = where.settings
    listening = settings.api_port if port is None else port
    address = host or settings.api_host
    note(f"the API listens on http://{address}:{listening}; Ctrl-C stops it")
    command = api_command(address, listening)
    os.execve(command[0], command, environment(settings))


def _say_api(host: str, port: int, key: LocalKey) -> None:
    url = f"http://{host}:{port}"
    note(f"HTTP API: {url}, described at {url}/docs")
    if key.new:
        note(f"your API key, kept in {key.path}: {key.secret}")
    note(f"  export PTSYS_URL={url} PTSYS_API_KEY=$(cat {key.path})")
    note('  curl -H "Authorization: Bearer $PTSYS_API_KEY" $PTSYS_URL/v1/models')
    note("Ctrl-C stops it and loses no step.")


def _say_ready(root: Path, model: str, workers: int) -> None:
    count = "1 worker" if workers == 1 else f"{workers} workers"
    option = "" if os.environ.get("PTSYS_DATA_DIR") else _data_option(root)
    note(f"ready: model {model}, {count}, data in {root}, logs in {root / 'logs'}")
    note("in another terminal:")
    note(f"  ptsys{option} train DATA.jsonl --name NAME --wait")
    note(f"  ptsys{option} predict NAME INPUTS.jsonl")


def _data_option(root: Path) -> str:
    return "" if root == Path("~/.ptsys").expanduser().absolute() else f" --data {root}"
