"""`ptsys evaluate`: how good a prompt is on rows whose answers are known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ptsys.cli import asking, deployment, rows
from ptsys.cli.decoding_options import Labels, Model, Timeout, Truncate, label_list
from ptsys.cli.examples import examples
from ptsys.cli.output import Json, percent, print_fields, print_json
from ptsys.cli.row_progress import row_progress


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog=examples(
            "ptsys evaluate reviews test.jsonl",
            "ptsys evaluate - test.jsonl --labels good,bad    (the bare model, without a prompt)",
            "ptsys evaluate ./prompt.safetensors test.jsonl --json",
        )
    )(evaluate)


def evaluate(
    context: typer.Context,
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help=asking.PROMPT_HELP)],
    data: Annotated[
        Path,
        typer.Argument(metavar="DATA.jsonl", help='One {"input": "...", "target": "..."} a line.'),
    ],
    general: asking.General = None,
    also: asking.Also = None,
    ensemble: asking.How = "vote",
    model: Model = None,
    labels: Labels = None,
    truncate: Truncate = False,
    timeout: Timeout = asking.TIMEOUT,
    as_json: Json = False,
) -> None:
    """Score a prompt: exact matches, F1 of words, and what always giving the commonest answer
    of these rows would score."""
    from ptsys.data.metrics import majority
    from ptsys.types.requests import Decoding
    from ptsys.types.scoring import scoring

    where = deployment.of(context)
    known = rows.read(data, "data")
    how = Decoding(labels=label_list(labels))
    with where.client(timeout=timeout) as client:
        asked = asking.find_several(
            where, client, [prompt, *(also or ())], ensemble, how, model, general
        )
        fit = rows.check(client, data, known, asked.model, "score", truncate=truncate)
        asking.check_served(where, client, asked.model)
        with row_progress("evaluating", len(known), client, asked.model) as done:
            scores = client.evaluate(
                asked.prompt,
                known,
                **asked.way,
                ensemble=asked.ensemble,
                decoding=scoring(fit.target_tokens, fit.max_target_length, how.labels),
                truncate=truncate,
                progress=done,
            )
    targets = [row.target or "" for row in known]
    commonest, share = majority(targets, targets)
    found: dict[str, Any] = {"rows": len(known), **scores}
    if as_json:
        print_json({**found, "majority": {"answer": commonest, "accuracy": share}})
        return
    print_fields(
        {
            "rows": len(known),
            "accuracy": percent(scores["accuracy"]),
            "token F1": percent(scores["token_f1"]),
            "majority": f"{percent(share)}  (always {commonest!r})",
        }
    )
