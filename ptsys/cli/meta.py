"""`ptsys meta`: meta-prompts, and the prompts that a frozen model writes with them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ptsys.cli import asking, deployment, rows, submitting
from ptsys.cli.decoding_options import Timeout, Truncate
from ptsys.cli.examples import examples
from ptsys.cli.failures import check_name, naming
from ptsys.cli.output import Json, note, print_fields, print_json, print_table, working
from ptsys.cli.training_options import Typed, Wait, flags_of, options_from
from ptsys.errors import InvalidInput
from ptsys.types.meta_training import MetaOptions

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
_TASK = "TASK=PROMPT"
_LIBRARY = 100  # tasks that a search brings, at most
_RATE = Annotated[float, typer.Option("--learning-rate", "--lr", help="How fast it learns.")]
_OPTIMIZER = Annotated[
    Literal["adafactor", "adamw", "sgd"], typer.Option(help="How the meta-prompt is updated.")
]
_INIT = Annotated[
    str,
    typer.Option(
        help="Where it starts: shared (what ships with the model), vocabulary (anew), or "
        "prompt:NAME of a meta-prompt."
    ),
]


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
        Literal["each", "mean"],
        typer.Option(help="Examples side by side and their mean, or the mean alone."),
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


@app.command(
    epilog=examples(
        "ptsys meta train --data tasks --name words --wait",
        "ptsys meta train --data tasks --held-out 4 --patience 3 --name words",
        "ptsys meta train --from-library plurals --method regression --loss cosine --name words",
        "ptsys meta generate --examples few.jsonl --meta words --name mine",
    )
)
@flags_of(
    MetaOptions,
    besides=("tasks",),
    otherwise={
        "learning_rate": (_RATE, 1e-3),
        "optimizer": (_OPTIMIZER, "adamw"),
        "init": (_INIT, "shared"),
    },
)
def train(
    context: typer.Context,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Tasks: TASK.jsonl or TASK/train.jsonl each, rows with their targets; beside "
            "it TASK.txt or TASK/description.txt may say it in words.",
        ),
    ] = None,
    from_library: Annotated[
        str | None,
        typer.Option(
            metavar="WORDS|prompt:NAME",
            help="Tasks of stored prompts that these words fit, or that are near a prompt.",
        ),
    ] = None,
    prompt: Annotated[
        list[str] | None,
        typer.Option(metavar=_TASK, help="The prompt that was tuned on a task of --data."),
    ] = None,
    *,
    options: Typed,
    wait: Wait = False,
    as_json: Json = False,
) -> None:
    """Train a meta-prompt on many tasks: it learns to write prompts.

    joint: in every step it writes prompts for some tasks, the model answers rows of these with
    them, and what it gets wrong is traced back through both.

    regression: what it writes is compared with prompts that were tuned on the tasks.

    Some tasks are held out and scored on; what is kept is the best that was scored.
    """
    if data is None and from_library is None:
        raise InvalidInput("give --data FOLDER, --from-library WORDS, or both", field="data")
    tasks = {} if data is None else _tasks(data)
    tuned = dict(_pair(text) for text in prompt or ())
    where = deployment.of(context)
    with where.client() as client:
        model = options["model"] or where.model(client)
        known = {task: rows.read(path, "data", targets=True) for task, (path, _) in tasks.items()}
        for task, (path, _) in tasks.items():
            rows.check(
                client,
                path,
                known[task],
                model,
                "train",
                truncate=options["truncate"],
                max_input_length=options["max_input_length"],
            )
        settings = options_from(
            MetaOptions,
            {**options, "model": model},
            tasks=_placeholders(tasks, from_library),
        ).model_dump(exclude={"name", "tasks"}, exclude_unset=True)
        job = client.train_meta(
            options["name"],
            known,
            from_library=from_library,
            prompts=tuned,
            descriptions={task: text for task, (_, text) in tasks.items() if text is not None},
            **settings,
        )
        submitting.follow(where, client, job, wait=wait, as_json=as_json)


def _placeholders(tasks: dict[str, tuple[Path, str | None]], query: str | None) -> tuple[Any, ...]:
    """Tasks to check the options with, before those of the library are known."""
    count = max(len(tasks), 2 if query is None else _LIBRARY)
    return tuple({"name": f"task{number}"} for number in range(count))


def _tasks(folder: Path) -> dict[str, tuple[Path, str | None]]:
    """The files of a folder's tasks, and their descriptions. Raises InvalidInput."""
    if not folder.is_dir():
        raise InvalidInput(f"{folder} is no folder", field="data")
    found: dict[str, tuple[Path, str | None]] = {}
    for child in sorted(folder.iterdir()):
        if child.suffix == ".jsonl":
            found[child.stem] = (child, _text(child.with_suffix(".txt")))
        elif (child / "train.jsonl").is_file():
            found[child.name] = (child / "train.jsonl", _text(child / "description.txt"))
    if not found:
        raise InvalidInput(
            f"{folder} has no tasks; a task is TASK.jsonl or TASK/train.jsonl", field="data"
        )
    for name in found:
        check_name("data", name)
    return found


def _text(path: Path) -> str | None:
    """What a file says, if it is there."""
    if not path.is_file():
        return None
    with naming(path):
        return path.read_text(encoding="utf-8").strip() or None


def _pair(text: str) -> tuple[str, str]:
    task, equals, prompt = text.partition("=")
    if not (task and equals and prompt):
        raise InvalidInput(f"{text!r}: write it as {_TASK}", field="prompt")
    return task, prompt
