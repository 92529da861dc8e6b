"""`ptsys augment`: a prompt for a few rows, lifted by prompts and datasets of the library."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ptsys.cli import deployment, submitting
from ptsys.cli.examples import examples
from ptsys.cli.failures import make
from ptsys.cli.output import Json
from ptsys.cli.submitting import RowsFile
from ptsys.cli.training_options import Typed, Wait, flags_of
from ptsys.errors import InvalidInput
from ptsys.types.augmentation import AugmentOptions

if TYPE_CHECKING:
    from ptsys.types.records import Prompt

_LENGTH = Annotated[
    int | None, typer.Option(help="Tokens in the prompt.", show_default="PROMPT's, or 16")
]
_PROMPT = typer.Argument(
    metavar="PROMPT",
    help="A prompt to search with, as it is; without --data, its own dataset's rows are yours.",
    show_default=False,
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog=examples(
            "ptsys augment --data few.jsonl --name lifted --wait",
            "ptsys augment few --name lifted --strategy curriculum --neighbours 5",
            "ptsys augment few --name lifted --strategy initialization --start combination",
            "ptsys augment --data few.jsonl --name lifted --budget 600 --rounds 2",
        )
    )(augment)


@flags_of(AugmentOptions, besides=("query", "init"), otherwise={"length": (_LENGTH, None)})
def augment(
    context: typer.Context,
    prompt: Annotated[str | None, _PROMPT] = None,
    *,
    data: Annotated[
        Path | None, typer.Option(metavar="FEW.jsonl", help="Your rows, as for `ptsys train`.")
    ] = None,
    validation: Annotated[
        Path | None,
        typer.Option(
            help="Rows to score on, JSONL too; auto chooses by them.",
            show_default="auto holds out a quarter of yours",
        ),
    ] = None,
    options: Typed,
    wait: Wait = False,
    as_json: Json = False,
) -> None:
    """Tune a prompt on a few rows, with the help of similar prompts of the library.

    curriculum: on the datasets of similar prompts in turn, the most similar last, then on yours.

    multitask: on all of these mixed.

    initialization: on yours, from the most similar prompt, or several combined.

    auto: all three, and the best on rows to score on is kept, or a prompt found as it is.

    Only what you may see is used, and `ptsys prompts show NAME` tells what was.
    """
    where = deployment.of(context)
    if prompt is None and data is None:
        raise InvalidInput("give your rows (--data FEW.jsonl), or a PROMPT of yours", field="data")
    typed = {name: one for name, one in options.items() if (name, one) != ("length", None)}
    files = [] if data is None else [RowsFile(data, "dataset")]
    if validation is not None:
        files.append(RowsFile(validation, "validation", scored=True))
    with submitting.asked(where, AugmentOptions, typed) as (client, wanted):
        known: dict[str, str] = {}
        if prompt is not None:
            query = client.prompts.get(prompt)
            wanted = _searching_with(query, wanted, options)
            known = {} if data is not None else {"dataset": _dataset(query)}
        job = submitting.submit(client, wanted, files, lambda ids: wanted.on(**known, **ids))
        submitting.follow(where, client, job, wait=wait, as_json=as_json)


def _searching_with(query: Prompt, wanted: AugmentOptions, typed: Typed) -> AugmentOptions:
    """The options with that query, whose model and length they have unless others were typed."""
    changes: dict[str, Any] = {"query": query.id}
    if typed["model"] is None:
        changes["model"] = query.model
    if typed["length"] is None:
        changes["length"] = query.length
    return make(AugmentOptions, **dict(wanted) | changes)


def _dataset(query: Prompt) -> str:
    """The rows that a prompt was trained on. Raises InvalidInput if they are not known."""
    if query.dataset is None:
        raise InvalidInput(
            f"the dataset of prompt {query.name!r} is not known, or not yours to see; give your "
            "rows with --data",
            field="prompt",
        )
    return query.dataset
