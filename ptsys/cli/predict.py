"""`ptsys predict`: answers for a file of inputs, one JSON line each."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from ptsys.cli import asking, deployment, rows
from ptsys.cli.decoding_options import (
    Beams,
    Labels,
    LengthPenalty,
    MaxTokens,
    Method,
    Model,
    Seed,
    Temperature,
    Timeout,
    TopP,
    Truncate,
    decoding,
)
from ptsys.cli.examples import examples
from ptsys.cli.output import Json, check_place, note, print_json, write_whole
from ptsys.cli.row_progress import row_progress
from ptsys.errors import InvalidInput


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog=examples(
            "ptsys predict reviews inputs.jsonl",
            "ptsys predict reviews inputs.jsonl --output answers.jsonl --labels good,bad",
            "ptsys predict support.mood inputs.jsonl --general support-2",
            "ptsys predict reviews inputs.jsonl --also reviews-2 --also reviews-3",
            "ptsys predict --examples few.jsonl inputs.jsonl",
            "ptsys predict ./prompt.npy inputs.jsonl --method sample --temperature 0.7",
        )
    )(predict)


def predict(
    context: typer.Context,
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help=asking.PROMPT_HELP)],
    inputs: Annotated[
        Path | None,
        typer.Argument(
            metavar="INPUTS.jsonl",
            help='One {"input": "..."} a line. With --examples it stands alone, without PROMPT.',
            show_default=False,
        ),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="A file instead of stdout.")] = None,
    shown: Annotated[
        Path | None,
        typer.Option(
            "--examples",
            metavar="FEW.jsonl",
            help="In place of PROMPT: rows of the task, from which a prompt is written first.",
            show_default=False,
        ),
    ] = None,
    meta: Annotated[
        str, typer.Option(metavar="META", help="With --examples: the meta-prompt that writes it.")
    ] = "generic",
    general: asking.General = None,
    also: asking.Also = None,
    ensemble: asking.How = "vote",
    model: Model = None,
    method: Method = "greedy",
    labels: Labels = None,
    max_tokens: MaxTokens = 32,
    temperature: Temperature = 1.0,
    top_p: TopP = 1.0,
    beams: Beams = 4,
    length_penalty: LengthPenalty = 0.6,
    seed: Seed = 0,
    truncate: Truncate = False,
    timeout: Timeout = asking.TIMEOUT,
    as_json: Json = False,
) -> None:
    """Answer rows with a prompt: one {"prediction", "score"} a line, in their order.

    The score is the answer's log-probability in nats, summed over its tokens.
    """
    how = decoding(
        labels,
        method=method,
        max_tokens=max_tokens,
        temperature=temperature,
        top_p=top_p,
        beams=beams,
        length_penalty=length_penalty,
        seed=seed,
    )
    if output is not None:
        check_place(output)
    where = deployment.of(context)
    if shown is not None:
        if inputs is not None or also or general is not None:
            raise InvalidInput(
                "examples stand in place of a prompt; give INPUTS.jsonl alone", field="examples"
            )
        prompt, inputs = asking.BARE, Path(prompt)
    elif inputs is None:
        raise InvalidInput("name a file of rows to answer: INPUTS.jsonl", field="inputs")
    known = rows.read(inputs, "inputs", targets=False)
    told = None if shown is None else rows.read(shown, "examples")
    lines: list[str] = []
    emit: Callable[[str], None] = print if output is None else lines.append
    with where.client(timeout=timeout) as client:
        if shown is not None and meta != "generic":
            model = client.prompts.get(meta).model
        asked = asking.find_several(
            where, client, [prompt, *(also or ())], ensemble, how, model, general
        )
        if shown is not None and told is not None:
            rows.check(client, shown, told, asked.model, "answer", truncate=truncate)
        rows.check(client, inputs, known, asked.model, "answer", truncate=truncate)
        asking.check_served(where, client, asked.model)
        with row_progress("predicting", len(known), client, asked.model) as done:
            parts = client.answers(
                asked.prompt,
                [row.input for row in known],
                **asked.way,
                examples=told,
                meta=meta,
                ensemble=asked.ensemble,
                decoding=how,
                truncate=truncate,
            )
            for answers in parts:
                for answer in answers:
                    row = answer.model_dump(mode="json", exclude_none=True)
                    emit(json.dumps(row, ensure_ascii=False))
                done(len(answers))
    if output is not None:
        write_whole(output, "".join(line + "\n" for line in lines).encode())
        if as_json:
            print_json({"rows": len(lines), "output": str(output)})
        else:
            note(f"{len(lines)} predictions in {output}")
