"""`ptsys prompts edit`: what is told of a prompt, and who may see it."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from ptsys.cli import deployment
from ptsys.cli.examples import examples
from ptsys.cli.failures import check_name
from ptsys.cli.output import Json, note, print_json
from ptsys.errors import InvalidInput

EPILOG = examples(
    "ptsys prompts edit reviews --visibility public --licence CC-BY-4.0 --contact ann@example.org",
    "ptsys prompts edit reviews --share-with bob --share-with eve",
    "ptsys prompts edit reviews --tag sentiment --description 'Film reviews, good or bad'",
)
_LONGEST = {"description": 2000, "licence": 200, "contact": 200, "tag": 100}


def edit(
    context: typer.Context,
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="One of yours: its name or id.")],
    name: Annotated[str | None, typer.Option(help="Call it so from now on.")] = None,
    description: Annotated[
        str | None, typer.Option(help="What it is for. '' takes it back; so for the next two.")
    ] = None,
    licence: Annotated[str | None, typer.Option(help="An SPDX name, or your own words.")] = None,
    contact: Annotated[
        str | None, typer.Option(help="How to reach you, shown to all who may see the prompt.")
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option(help="These tags in place of those it has. Repeatable.", show_default=False),
    ] = None,
    no_tags: Annotated[bool, typer.Option("--no-tags", help="Take all tags away.")] = False,
    visibility: Annotated[
        Literal["private", "shared", "public"] | None, typer.Option(help="Who may see it.")
    ] = None,
    share_with: Annotated[
        list[str] | None,
        typer.Option(
            metavar="USER", help="These users may see it. Repeatable.", show_default=False
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Change what is told of a prompt of yours, or who may see it. What is not given stays."""
    if tag and (no_tags or "" in tag):
        raise InvalidInput("give tags with letters in them, or --no-tags alone", field="tag")
    for field, text in (("description", description), ("licence", licence), ("contact", contact)):
        _check(field, text)
    for one in tag or ():
        _check("tag", one)
    if share_with and visibility is None:
        visibility = "shared"
    where = deployment.of(context)
    if name is not None:
        check_name("name", name)
    with where.client() as client:
        changed = client.prompts.update(
            prompt,
            name=name,
            visibility=visibility,
            shared_with=share_with or None,
            tags=[] if no_tags else tag or None,
            description=description,
            licence=licence,
            contact=contact,
        )
    if as_json:
        print_json(changed)
    else:
        note(f"{changed.name} is changed; {where.line(f'prompts show {changed.name}')} tells all")


def _check(field: str, text: str | None) -> None:
    if text is not None and len(text) > _LONGEST[field]:
        raise InvalidInput(f"at most {_LONGEST[field]} characters", field=field)
