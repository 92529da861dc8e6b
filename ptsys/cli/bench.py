"""`ptsys bench`: measurements of this machine."""

from __future__ import annotations

from typing import Annotated, Literal

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
    counts = _counts(users, "users")
    from ptsys.benches import residents as bench

    bench.main(users=counts, steps=steps, json=as_json)


@app.command(
    epilog=examples(
        "ptsys bench gradients", "ptsys bench gradients --model small --length 100 --clients 1,32"
    )
)
def gradients(
    model: Annotated[
        Literal["tiny", "small"],
        typer.Option(help="The built-in model, or T5 1.1 small's shape with random weights."),
    ] = "tiny",
    clients: Annotated[
        str, typer.Option(metavar="N,N,…", help="How many clients ask at a time.")
    ] = "1,8,32,128",
    length: Annotated[int, typer.Option(min=1, max=1024, help="Prompt length.")] = 16,
    seconds: Annotated[float, typer.Option(min=1, help="Seconds of each load.")] = 8,
    as_json: Json = False,
) -> None:
    """Load the whole stack with gradient requests, and compare with the compiled pass alone."""
    counts = _counts(clients, "clients")
    from ptsys.cli import bench_tables

    bench_tables.gradients(model, counts, length, seconds, as_json)


@app.command(
    epilog=examples("ptsys bench search", "ptsys bench search --sizes 10000 --metric l2 --json")
)
def search(
    sizes: Annotated[
        str, typer.Option(metavar="N,N,…", help="How many vectors the library holds.")
    ] = "10000,100000,1000000",
    dimension: Annotated[int, typer.Option(min=1, max=4096, help="Length of a vector.")] = 128,
    metric: Annotated[
        list[str] | None,
        typer.Option(help="cosine, l2, dot or all (the default); may be given more than once."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Search a library of clustered vectors exactly and through ScaNN, and compare."""
    counts = _counts(sizes, "sizes")
    if min(counts) < 1000:
        raise InvalidInput("each number of sizes must be 1000 or more", field="sizes")
    for one in metric or []:
        if one not in ("cosine", "l2", "dot", "all"):
            raise InvalidInput(f"{one!r} is no metric; use cosine, l2, dot or all", field="metric")
    from ptsys.cli import bench_tables

    bench_tables.search(counts, dimension, metric or ["all"], as_json)


@app.command(
    epilog=examples("ptsys bench scaling", "ptsys bench scaling --axis rows --width 256 --json")
)
def scaling(
    axis: Annotated[
        list[str] | None,
        typer.Option(help="users, rows, prompt, input or layers; all by default. Repeatable."),
    ] = None,
    width: Annotated[int, typer.Option(min=32, help="The model's d_model.")] = 128,
    turns: Annotated[int, typer.Option(min=1, help="Steps timed at each point.")] = 7,
    as_json: Json = False,
) -> None:
    """Show how a training step's time and memory grow, and where they leave the ideal line."""
    from ptsys.benches import scaling as bench

    for one in axis or []:
        if one not in bench.AXES:
            raise InvalidInput(f"{one!r} is no axis; use {', '.join(bench.AXES)}", field="axis")
    chosen = [name for name in bench.AXES if not axis or name in axis]
    bench.main(chosen, width, turns, as_json)


def _counts(text: str, field: str) -> list[int]:
    try:
        counts = [int(part) for part in text.split(",")]
    except ValueError:
        raise InvalidInput(f"{text!r} is no list of numbers; write 1,4,16", field=field) from None
    if not all(count > 0 for count in counts):
        raise InvalidInput(f"each number of {field} must be 1 or more", field=field)
    return counts
