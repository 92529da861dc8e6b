"""`ptsys prompts generate`: a dataset of a prompt's answers, to train later prompts on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ptsys.cli import asking, deployment, rows
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
from ptsys.cli.output import Json, note, print_json
from ptsys.cli.row_progress import row_progress
from ptsys.errors import InvalidInput

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
    from ptsys.data.answered import answered, description
    from ptsys.jobs.limits import read_limits
    from ptsys.store.visibility import check_name
    from ptsys.types.generation import Generated
    from ptsys.types.requests import Prediction

    if min_score is not None and not -float("inf") < min_score <= 0:
        raise InvalidInput("a mean log-probability is 0 at most", field="min_score")
    check_name(dataset)
    how = decoding(
        labels,
        method=method,
        max_tokens=max_tokens,
        temperature=temperature,
        top_p=top_p,
        seed=seed,
    )
    where = deployment.of(context)
    texts = [row.input for row in rows.read(inputs, "inputs", targets=False)]
    with where.service() as service:
        stored = service.prompts.get(prompt, where.user)
        service.datasets.refuse_taken(dataset, where.user)
    asked = asking.find(where, stored.id, None, general)
    limits = read_limits(where.settings.root, asked.model)
    rows.check_inputs(inputs, texts, limits, "inputs", truncate=truncate)
    answers: list[Prediction] = []
    with (
        where.asker(asked.model) as asker,
        row_progress("answering", len(texts), where.settings, asked.model) as done,
    ):
        for part in asking.predict(asker, asked, texts, how, timeout=timeout):
            answers.extend(part)
            done(len(part))
    kept, left_out = answered(texts, answers, limits.vocabulary, min_score)
    with where.service() as service:
        made = service.datasets.add(
            dataset,
            where.user,
            kept,
            description=description(len(texts), left_out, min_score),
            visibility=visibility,
            generated_by=stored.id,
        )
    if as_json:
        print_json(Generated(dataset=made, asked=len(texts), left_out=left_out))
        return
    note(f"{made.rows} rows in dataset {made.name} ({made.id}); {left_out} answers were left out")
