"""`ptsys prompts search`: which stored prompts are near another, or fit some words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ptsys.cli import deployment, rows
from ptsys.cli.decoding_options import Truncate
from ptsys.cli.examples import examples
from ptsys.cli.output import Json, note, percent, print_json, print_table
from ptsys.errors import InvalidInput

if TYPE_CHECKING:
    from ptsys.cli.deployment import Deployment
    from ptsys.client import Client, Found, JobHandle

EPILOG = examples(
    "ptsys prompts search reviews",
    "ptsys prompts search --data few.jsonl --count 5",
    "ptsys prompts search --text 'film sentiment' --min-accuracy 0.8 --json",
)


Near = Annotated[
    str | None,
    typer.Argument(metavar="PROMPT", help="Near this one: a name of yours, owner/name, or an id."),
]
Count = Annotated[int, typer.Option(min=1, max=100, help="At most so many.")]


def search(
    context: typer.Context,
    prompt: Near = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="DATA.jsonl",
            help="Near a prompt that is trained on these rows first, and kept for the next time.",
        ),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(
            help="With these words in name, tags, task, description or dataset; beside PROMPT or "
            "--data all of them."
        ),
    ] = None,
    metric: Annotated[
        Literal["cosine", "l2", "dot"], typer.Option(help="How they compare.")
    ] = "cosine",
    count: Count = 10,
    kind: Annotated[
        Literal["mean", "token", "projection"] | None,
        typer.Option(help="What of a prompt is compared.", show_default="token"),
    ] = None,
    steps: Annotated[
        int, typer.Option(min=1, max=10_000, help="With --data: updates of the prompt.")
    ] = 100,
    truncate: Truncate = False,
    model: Annotated[
        str | None, typer.Option(help="Only this model's; with --data the one to train on.")
    ] = None,
    owner: Annotated[str | None, typer.Option(help="Only this user's.")] = None,
    mine: Annotated[bool, typer.Option("--mine", help="Only your own.")] = False,
    prompt_kind: Annotated[
        str | None,
        typer.Option(
            help="Only prompts of this kind: tokens, deep, …; meta for meta-prompts.",
        ),
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="Only public ones.")] = False,
    tag: Annotated[
        list[str] | None, typer.Option(help="Only with this tag. Repeatable.", show_default=False)
    ] = None,
    licence: Annotated[str | None, typer.Option(help="Only under this licence.")] = None,
    min_accuracy: Annotated[
        float | None, typer.Option(help="Only with this accuracy or more, from 0 to 1.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Search the prompts that you may see: near a prompt, near the task of some rows, or by words.

    Prompts compare by what training changed, as all of a model start at one place.
    """
    from ptsys.types.library import DEFAULT_KIND

    check_query(prompt, data, text, "data")
    where = deployment.of(context)
    filters: dict[str, Any] = {
        "owner": owner,
        "visibility": "public" if public else None,
        "prompt_kind": prompt_kind,
        "tags": tuple(tag or ()),
        "licence": licence,
        "min_accuracy": min_accuracy,
    }
    known = None if data is None else rows.read(data, "data", targets=False)
    with where.client() as client:
        if mine:
            filters["owner"] = _me(client, owner)
        if data is not None:
            model = model or where.model(client)
            rows.check(client, data, known or [], model, "train", truncate=truncate)
        found = client.prompts.search(
            prompt,
            examples=known,
            text=text or "",
            metric=metric,
            kind=kind or DEFAULT_KIND,
            count=count,
            steps=steps,
            truncate=truncate,
            wait=lambda job: trained(where, client, job),
            model=model,
            **filters,
        )
    _print(found, as_json)


def check_query(prompt: str | None, data: Path | None, text: str | None, option: str) -> None:
    """Raise InvalidInput unless one thing is given to search by, or words; `option` brings rows."""
    if prompt is not None and data is not None:
        raise InvalidInput("search by a prompt or by rows, not by both", field=option)
    if prompt is None and data is None and not (text or "").strip():
        raise InvalidInput(
            f"say what to search by: a prompt, rows (--{option}) or words (--text)", field="prompt"
        )


def _me(client: Client, owner: str | None) -> str:
    """Who asks. Raises InvalidInput where the prompts of another owner are wanted."""
    user = str(client.me()["user"])
    if owner not in (None, user):
        raise InvalidInput("--mine is of your own; leave --owner out", field="owner")
    return user


def trained(where: Deployment, client: Client, job: JobHandle) -> None:
    """Wait for the prompt to search with, and show how far it is. Raises JobFailed."""
    from ptsys.cli.submitting import check_succeeded
    from ptsys.cli.watching import Watched, watch

    model = job.record.spec.model
    if not client.models.get(model).workers:
        note(f"the query is queued and no worker serves {model}; {where.start_line(model)}")
    try:
        [ended] = watch(client, [Watched(job, "query")])
    except KeyboardInterrupt:
        note(f"the job goes on: {where.line(f'jobs watch {job.id}')}; then search again")
        raise
    check_succeeded(ended)


def _print(found: Sequence[Found], as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    print_table(
        ("", "score", "prompt", "accuracy", "dataset", "steps", "uses", "contact", "id"),
        (
            (
                rank,
                f"{one.score:.3f}" + ("" if one.comparable else "?"),
                f"{one.prompt.owner}/{one.prompt.name}",
                percent(one.prompt.scores["accuracy"]) if "accuracy" in one.prompt.scores else "",
                None if one.dataset is None else one.dataset.name,
                one.prompt.steps,
                one.prompt.uses,
                one.prompt.contact,
                one.prompt.id,
            )
            for rank, one in enumerate(found, start=1)
        ),
        empty="nothing was found among the prompts that you may see",
    )
    if not all(one.comparable for one in found):
        note("?: brought in from elsewhere; nobody knows whether it began where the others did")
