"""`ptsys gradients`: a prompt's gradient on rows, for an optimizer that lives with the user."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ptsys.cli import asking, deployment, rows
from ptsys.cli.decoding_options import Model, Timeout, Truncate
from ptsys.cli.examples import examples
from ptsys.cli.output import Json, check_place, print_fields, print_json, write_whole
from ptsys.cli.row_progress import row_progress
from ptsys.errors import InvalidInput


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog=examples(
            "ptsys gradients reviews data.jsonl --output gradient.safetensors",
            "ptsys gradients ./prompt.npy data.jsonl --output gradient.safetensors --json",
        )
    )(gradients)


def gradients(
    context: typer.Context,
    prompt: Annotated[
        str, typer.Argument(metavar="PROMPT", help="A stored prompt's name or id, or a file.")
    ],
    data: Annotated[
        Path,
        typer.Argument(metavar="DATA.jsonl", help='One {"input": "...", "target": "..."} a line.'),
    ],
    output: Annotated[Path, typer.Option(help="Where the tensor 'gradient' goes.")],
    general: asking.General = None,
    model: Model = None,
    truncate: Truncate = False,
    timeout: Timeout = asking.TIMEOUT,
    as_json: Json = False,
) -> None:
    """Differentiate the mean loss over all target tokens (nats) of the rows by the prompt."""
    from ptsys.prompts.safetensors_format import encode

    if prompt == asking.BARE:
        raise InvalidInput("the bare model has no prompt to differentiate by", field="prompt")
    check_place(output)
    where = deployment.of(context)
    known = rows.read(data, "data")
    with where.client(timeout=timeout) as client:
        asked = asking.find(where, client, prompt, model, general)
        rows.check(client, data, known, asked.model, "score", truncate=truncate)
        asking.check_served(where, client, asked.model)
        with row_progress("differentiating", len(known), client, asked.model) as done:
            whole = client.gradients(
                asked.prompt, known, **asked.way, truncate=truncate, progress=done
            )
    notes = {"loss": repr(whole.loss), "rows": str(len(known)), "model": asked.model}
    write_whole(output, encode(whole.gradient, notes, tensor="gradient"))
    norm = float((whole.gradient**2).sum() ** 0.5)
    found = {"rows": len(known), "tokens": whole.tokens, "loss": whole.loss, "norm": norm}
    if as_json:
        print_json({**found, "output": str(output)})
    else:
        print_fields({**found, "gradient": f"{output}  {list(whole.gradient.shape)}"})
