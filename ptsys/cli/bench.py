"""`ptsys bench`: measurements of this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from ptsys.cli.examples import examples
from ptsys.cli.output import Json
from ptsys.errors import InvalidInput

app = typer.Typer(no_args_is_help=True, help="Measure this machine.")


@app.callback()
def _group() -> None:
    """Measure this machine."""


@app.command(
    epilog=examples("ptsys bench residents", "ptsys bench residents --users 1,16 --steps 50 --json")
)
def residents(
    users: Annotated[
        str, typer.Option(metavar="N,N,…", help="How many users train at a time.")
    ] = "1,4,16,64",
    steps: Annotated[int, typer.Option(min=1, help="Steps a user in each measurement.")] = 30,
    as_json: Json = False,
) -> None:
    """Train many users' prompts together and one after another, and compare rows a second."""
    try:
        counts = [int(part) for part in users.split(",")]
    except ValueError:
        raise InvalidInput(
            f"{users!r} is no list of numbers; write 1,4,16", field="users"
        ) from None
    if not all(count > 0 for count in counts):
        raise InvalidInput("each number of users must be 1 or more", field="users")
    from ptsys.engine import benchmark

    benchmark.main(users=counts, steps=steps, json=as_json)
