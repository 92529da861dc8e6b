"""`ptsys prompts generate`: a dataset of a prompt's answers, to train later prompts on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ptsys.cli import asking, deployment, rows
from ptsys.cli.compile_notes import compile_notes
from ptsys.cli.decoding_options import (
    Labels,
    MaxTokens,
    Method,
    Seed,
    Temperature,
    Timeout,
    TopP,
    Truncate,
    decoding,
)
from ptsys.cli.examples import examples
from ptsys.cli.failures import check_name
from ptsys.cli.output import Json, note, print_json, working
from ptsys.errors import InvalidInput

_ROWS = 64  # --timeout is for so many

EPILOG = examples(
    "ptsys prompts generate lifted unlabelled.jsonl --dataset more --min-score -0.2",
    "ptsys prompts generate ann/reviews texts.jsonl --dataset more --labels positive,negative",
)


def generate(
    context: typer.Context,
    prompt: Annotated[
        str, typer.Argument(metavar="PROMPT", help="A name of yours, owner/name, or an id.")
    ],
    inputs: Annotated[
        Path,
        typer.Argument(
            metavar="INPUTS.jsonl", help='One {"input": "..."} a line; targets do not matter.'
        ),
    ],
    dataset: Annotated[str, typer.Option(metavar="NAME", help="What the dataset will be called.")],
    min_score: Annotated[
        float | None,
        typer.Option(
            help="Leave answers out whose tokens have a lower mean log-probability, in nats."
        ),
    ] = None,
    visibility: Annotated[
        Literal["private", "public"], typer.Option(help="Who may see the dataset.")
    ] = "private",
    general: asking.General = None,
    method: Method = "greedy",
    labels: Labels = None,
    max_tokens: MaxTokens = 32,
    temperature: Temperature = 1.0,
    top_p: TopP = 1.0,
    seed: Seed = 0,
    truncate: Truncate = False,
    timeout: Timeout = asking.TIMEOUT,
    as_json: Json = False,
) -> None:
    """Answer rows with a prompt and keep the answers as a dataset of yours, to train on.

    Empty answers, and those less certain than --min-score, are left out and counted.
    """
    if min_score is not None and not -float("inf") < min_score <= 0:
        raise InvalidInput("a mean log-probability is 0 at most", field="min_score")
    check_name("name", dataset)
    how = decoding(
        labels,
        method=method,
        max_tokens=max_tokens,
        temperature=temperature,
        top_p=top_p,
        seed=seed,
    )
    where = deployment.of(context)
    known = rows.read(inputs, "inputs", targets=False)
    parts = -(-len(known) // _ROWS)
    with where.client(timeout=timeout * parts) as client:
        stored = client.prompts.get(prompt)
        rows.check(client, inputs, known, stored.model, "answer", truncate=truncate)
        asking.check_served(where, client, stored.model)
        with working(f"answering {len(known)} rows"), compile_notes(client, [stored.model]):
            made = client.datasets.generate(
                dataset,
                stored,
                [row.input for row in known],
                min_score=min_score,
                general=general,
                visibility=visibility,
                truncate=truncate,
                **how.model_dump(exclude_defaults=True),
            )
    if as_json:
        print_json(made)
        return
    kept = made.dataset
    note(f"{kept.rows} rows in dataset {kept.name} ({kept.id}); {made.left_out} answers left out")
