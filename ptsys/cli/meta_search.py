"""`ptsys meta search`: which meta-prompts were trained on tasks like yours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ptsys.cli import deployment, rows
from ptsys.cli.decoding_options import Truncate
from ptsys.cli.examples import examples
from ptsys.cli.output import Json, note, percent, print_json, print_table
from ptsys.cli.search import Count, Near, check_query, trained

if TYPE_CHECKING:
    from ptsys.client import Found
    from ptsys.types.records import Prompt

_NAMED = 6  # tasks in a line of the table


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog=examples(
            "ptsys meta search reviews",
            "ptsys meta search --examples few.jsonl --count 5",
            "ptsys meta search --text plurals --json",
        )
    )(search)


def search(
    context: typer.Context,
    prompt: Near = None,
    shown: Annotated[
        Path | None,
        typer.Option(
            "--examples",
            metavar="FEW.jsonl",
            help="Near the task of these rows: the model's own meta-prompt writes a prompt of them "
            "first, or where there is none, one is trained.",
        ),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(help="With these words in name, tags or description."),
    ] = None,
    count: Count = 10,
    truncate: Truncate = False,
    model: Annotated[
        str | None, typer.Option(help="Only this model's; with --examples the one to ask.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Find meta-prompts for tasks like yours, among those that you may see.

    A meta-prompt lies where the prompts of the tasks lie that it was trained on. One that was not
    trained here, or brought in without what it was trained on, is found by words alone.
    """
    check_query(prompt, shown, text, "examples")
    where = deployment.of(context)
    known = None if shown is None else rows.read(shown, "examples")
    with where.client() as client:
        if shown is not None:
            model = model or where.model(client)
            rows.check(client, shown, known or [], model, "train", truncate=truncate)
        found = client.meta_prompts.search(
            prompt,
            examples=known,
            text=text or "",
            count=count,
            truncate=truncate,
            wait=lambda job: trained(where, client, job),
            model=model,
        )
    _print(found, as_json)


def _print(found: Sequence[Found], as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    print_table(
        ("", "score", "meta-prompt", "accuracy", "tasks", "model", "id"),
        (
            (
                rank,
                f"{one.score:.3f}" + ("" if one.comparable else "?"),
                f"{one.prompt.owner}/{one.prompt.name}",
                percent(one.prompt.scores["accuracy"]) if "accuracy" in one.prompt.scores else "",
                tasks_line(one.prompt),
                one.prompt.model,
                one.prompt.id,
            )
            for rank, one in enumerate(found, start=1)
        ),
        empty="no meta-prompt was found among those that you may see; `ptsys meta train` makes one",
    )
    if not all(one.comparable for one in found):
        note("?: brought in from elsewhere; what it says of its tasks was not seen here")


def tasks_line(meta: Prompt) -> str:
    """The names of the tasks that a meta-prompt was trained on, the first of many."""
    tasks = meta.hyperparameters.get("tasks", ())
    names = [str(task["name"]) for task in tasks if "name" in task]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
