"""`ptsys meta`: meta-prompts, and the prompts that a frozen model writes with them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ptsys.cli import asking, deployment, rows, submitting
from ptsys.cli.decoding_options import Timeout, Truncate
from ptsys.cli.examples import examples
from ptsys.cli.failures import check_name
from ptsys.cli.output import Json, note, print_fields, print_json, print_table, working
from ptsys.cli.training_options import Typed, Wait, flags_of
from ptsys.errors import InvalidInput
from ptsys.types.writing import WriteOptions

app = typer.Typer(no_args_is_help=True, help="Write prompts from a few examples, in one pass.")

Meta = Annotated[
    str,
    typer.Option(
        metavar="META", help="A meta-prompt: a name of yours, owner/name, an id, or generic."
    ),
]
Shown = Annotated[
    Path | None,
    typer.Option(
        "--examples",
        metavar="FEW.jsonl",
        help='Rows of the task, {"input": "...", "target": "..."} a line.',
    ),
]
_GENERIC = "generic"


@app.command("list", epilog=examples("ptsys meta list", "ptsys meta list --model tiny --json"))
def list_meta_prompts(
    context: typer.Context,
    model: Annotated[str | None, typer.Option(help="Only this model's.")] = None,
    as_json: Json = False,
) -> None:
    """List what ships with models, and the stored meta-prompts you may see."""
    with deployment.of(context).client() as client:
        found = list(client.meta_prompts.list(model))
    if as_json:
        print_json(found)
        return
    print_table(
        ("meta-prompt", "owner", "model", "id"),
        ((one.name, one.owner or "(ships with it)", one.model, one.id) for one in found),
        empty="no meta-prompts; `ptsys prompts import FILE --name NAME` brings one in",
    )


@app.command(
    epilog=examples(
        "ptsys meta generate --examples few.jsonl --name plurals",
        'ptsys meta generate --description "Write the plural of the word." --name plurals',
        "ptsys meta generate --examples few.jsonl --meta ann/letters --name plurals",
    )
)
def generate(
    context: typer.Context,
    name: Annotated[str, typer.Option(help="What the prompt will be called.")],
    shown: Shown = None,
    description: Annotated[str | None, typer.Option(help="The task in words.")] = None,
    meta: Meta = _GENERIC,
    model: Annotated[
        str | None, typer.Option(help="For generic: the frozen model.", show_default="tiny")
    ] = None,
    aggregate: Annotated[
        Literal["each", "mean", "joint"],
        typer.Option(
            help="Examples side by side and their mean, the mean alone, or all in one row."
        ),
    ] = "each",
    visibility: Annotated[
        Literal["private", "public"], typer.Option(help="Who may see the prompt.")
    ] = "private",
    truncate: Truncate = False,
    timeout: Timeout = asking.TIMEOUT,
    as_json: Json = False,
) -> None:
    """Write a prompt for a task from its examples, its description, or both, and keep it.

    The frozen model's encoder reads each example alone behind the meta-prompt; nothing is tuned.
    """
    if shown is None and description is None:
        raise InvalidInput(
            "give --examples FEW.jsonl, --description TEXT, or both", field="examples"
        )
    check_name("name", name)
    where = deployment.of(context)
    known = [] if shown is None else rows.read(shown, "examples")
    with where.client(timeout=timeout) as client:
        if meta == _GENERIC:
            served = model or where.model(client)
        else:
            served = client.prompts.get(meta).model
        if shown is not None:
            rows.check(client, shown, known, served, "answer", truncate=truncate)
        asking.check_served(where, client, served)
        with working("writing a prompt"):
            prompt = client.meta_prompts.generate(
                known,
                description=description,
                meta=meta,
                model=served if meta == _GENERIC else model,
                aggregate=aggregate,
                truncate=truncate,
                name=name,
                visibility=visibility,
            )
    if as_json:
        print_json(prompt)
        return
    print_fields({"prompt": prompt.name, "id": prompt.id, "length": prompt.length})
    note(f"next: {where.line(f'predict {prompt.name} INPUTS.jsonl')}")


_TASKS = typer.Argument(
    metavar="TASKS",
    help='A JSONL file, {"name": "...", "examples": [{"input": "...", "target": "..."}, ...], '
    '"description": "..."} a line, or a folder of tasks.',
)


@app.command(
    "generate-many",
    epilog=examples(
        "ptsys meta generate-many tasks.jsonl --name words --wait",
        "ptsys meta generate-many tasks --name words --aggregate mean --examples 32",
    ),
)
@flags_of(WriteOptions, besides=("steps",))
def generate_many(
    context: typer.Context,
    tasks: Annotated[Path, _TASKS],
    *,
    options: Typed,
    wait: Wait = False,
    as_json: Json = False,
) -> None:
    """Write a prompt for each of many tasks, as a queued job, each in one pass over its examples.

    A task's prompt is called NAME.TASK, and is there as soon as it is written.
    """
    from ptsys.runs.tasks.task_lines import told_tasks

    where = deployment.of(context)
    with submitting.asked(where, WriteOptions, options) as (client, wanted):
        found = told_tasks(
            tasks.expanduser(), wanted.examples, described=wanted.described, prefix=""
        )
        told = wanted.model_dump(exclude={"name", "steps"})
        job = client.write_prompts(wanted.name, found, **told)
        submitting.follow(where, client, job, wait=wait, as_json=as_json)
