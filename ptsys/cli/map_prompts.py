"""`ptsys prompts map`: the library as a picture, as a page, or as coordinates."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ptsys.cli import deployment
from ptsys.cli.examples import examples
from ptsys.cli.output import Json, note, print_json, write_whole
from ptsys.errors import InvalidInput

EPILOG = examples(
    "ptsys prompts map library.png",
    "ptsys prompts map library.html --color-by owner",
    "ptsys prompts map --json",
)


def map_prompts(
    context: typer.Context,
    output: Annotated[
        Path | None,
        typer.Argument(metavar="OUT.png|OUT.html", help="A picture, or a page to move about in."),
    ] = None,
    color_by: Annotated[
        Literal["tag", "owner", "dataset", "model"], typer.Option(help="What colours tell apart.")
    ] = "tag",
    kind: Annotated[
        Literal["mean", "token", "projection"] | None,
        typer.Option(help="What of a prompt is compared.", show_default="token"),
    ] = None,
    model: Annotated[str | None, typer.Option(help="Whose prompts.", show_default="tiny")] = None,
    as_json: Json = False,
) -> None:
    """Draw a map of a model's prompts that you may see, those alike near each other.

    Prompts that were trained to search with are not on it. --json prints the coordinates.
    """
    suffix = "" if output is None else output.suffix.lower()
    if suffix not in (".png", ".html") and not (output is None and as_json):
        raise InvalidInput("name a file that ends in .png or .html, or ask for --json", field="out")
    from ptsys.library.map_html import page
    from ptsys.library.map_png import png
    from ptsys.types.library import DEFAULT_KIND

    where = deployment.of(context)
    with where.client() as client:
        named = model or where.model(client)
        made = client.prompts.coordinates(model=named, kind=kind or DEFAULT_KIND)
    if output is not None:
        if not made.points:
            raise InvalidInput(
                f"there are no prompts of model {named!r} that you may see and that "
                "compare; train one first",
                field="model",
            )
        drawn = png(made, color_by) if suffix == ".png" else page(made, color_by).encode()
        write_whole(output, drawn)
        sample = f", a sample of {made.total}" if made.sampled else ""
        note(f"{len(made.points)} prompts{sample} in {output}")
    if as_json:
        print_json(made)
