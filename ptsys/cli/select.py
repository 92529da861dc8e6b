"""`ptsys select`: a few examples chosen of many, and why each was."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ptsys.cli import asking, deployment, rows
from ptsys.cli.decoding_options import Timeout, Truncate, label_list
from ptsys.cli.examples import examples
from ptsys.cli.output import Json, check_place, note, print_json, print_table, write_whole
from ptsys.cli.row_progress import row_progress
from ptsys.errors import InvalidInput

if TYPE_CHECKING:
    from ptsys.client import Selection
    from ptsys.types.example import Example
    from ptsys.types.records import Dataset

_SHOWN = 40  # letters of an input


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog=examples(
            "ptsys select reviews.jsonl --count 16 --per-class --out few.jsonl",
            "ptsys select reviews.jsonl --method margin --prompt reviews --count 8 --plot map.png",
            "ptsys select my-dataset --method contrastive --count 10 --json",
        )
    )(select)


def select(
    context: typer.Context,
    data: Annotated[
        str,
        typer.Argument(metavar="ROWS.jsonl", help="A file of rows, or a stored dataset's name."),
    ],
    method: Annotated[
        Literal["kmeans", "margin", "contrastive", "badge", "random"],
        typer.Option(
            help="Nearest to the centres of clusters; nearest to a prompted model's decision "
            "boundary; pairs read alike with different targets; long and diverse gradients of a "
            "prompted model; or drawn at random."
        ),
    ] = "kmeans",
    count: Annotated[int, typer.Option(min=1, max=1000, help="How many rows to choose.")] = 16,
    per_class: Annotated[
        bool, typer.Option("--per-class", help="Choose so many of each target.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FEW.jsonl", help="Write the chosen rows there, one a line."),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="MAP.png", help="Draw how the model reads all rows, and the chosen."),
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Option(
            metavar="PROMPT",
            help="Read the rows with this stored prompt; margin and badge need one.",
        ),
    ] = None,
    general: asking.General = None,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,…",
            help="For margin and badge: what the model chooses between.",
            show_default="the targets of the rows",
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="The model that reads the rows.", show_default="tiny")
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=2**31 - 1, help="The same seed gives the same rows.")
    ] = 0,
    truncate: Truncate = False,
    timeout: Timeout = asking.TIMEOUT,
    as_json: Json = False,
) -> None:
    """Choose a few examples out of many, and say why each was chosen.

    At most 10,000 rows. --json prints the choice with all its numbers.
    """
    if plot is not None and plot.suffix.lower() != ".png":
        raise InvalidInput("name a file that ends in .png", field="plot")
    for place in (out, plot):
        if place is not None:
            check_place(place)
    from ptsys.selection.registry import METHODS

    how = METHODS[method]
    if how.scores and prompt is None:
        raise InvalidInput(f"{method} asks a prompted model; name a stored prompt", field="prompt")
    file = Path(data).expanduser()
    given: list[Example] | Dataset | None = None
    if data.endswith(".jsonl") or file.is_file():
        given = rows.read(file, "rows", targets=False)
    where = deployment.of(context)
    with where.client(timeout=timeout) as client:
        if given is None:
            given = client.datasets.get(data)
        count_of_rows = len(given) if isinstance(given, list) else given.rows
        read = count_of_rows * (how.scores + (how.encodings or plot is not None))
        stored = None if prompt is None else client.prompts.get(prompt)
        named = model or (where.model(client) if stored is None else stored.model)
        progress = contextlib.nullcontext(lambda _: None)
        if read:
            asking.check_served(where, client, named)
            progress = row_progress("reading", read, client, named)  # type: ignore[assignment]
        with progress as done:
            found = client.select(
                given,
                method,
                count,
                per_class=per_class,
                seed=seed,
                prompt=stored,
                general=general,
                labels=label_list(labels),
                model=named,
                truncate=truncate,
                plot=plot,
                progress=done,
            )
    _tell(found, out, plot, as_json)


def _tell(found: Selection, out: Path | None, plot: Path | None, as_json: bool) -> None:
    if out is not None:
        from ptsys.types.example import Example

        lines = [Example(one.input, one.target).to_json() + "\n" for one in found.chosen]
        write_whole(out, "".join(lines).encode())
    if as_json:
        print_json(found.model_copy(update={"places": None}))
    else:
        print_table(
            ("row", "target", "input", "why"),
            ((one.row, one.target, _short(one.input), one.reason) for one in found.chosen),
            empty="nothing was chosen",
        )
    told = f"{len(found.chosen)} of {found.rows} rows"
    for place in (out, plot):
        if place is not None:
            note(f"{told} in {place}")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"
