"""`ptsys meta train`: a meta-prompt that learns on many tasks to write prompts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ptsys.cli import deployment, rows, submitting
from ptsys.cli.examples import examples
from ptsys.cli.failures import check_name
from ptsys.cli.output import Json
from ptsys.cli.training_options import Typed, Wait, flags_of, options_from
from ptsys.errors import InvalidInput
from ptsys.types.meta_training import MetaOptions

if TYPE_CHECKING:
    from ptsys.runs.tasks.jsonl_task import JsonlTask

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


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog=examples(
            "ptsys meta train --data tasks --name words --wait",
            "ptsys meta train --data tasks --held-out 4 --patience 3 --name words",
            "ptsys meta train --data tasks --method regression --aggregate mean --name words",
            "ptsys meta train --dataset plurals --dataset pasts --related 20 --name mine",
            "ptsys meta train --from-library plurals --method regression --name words",
            "ptsys meta generate --examples few.jsonl --meta words --name mine",
        )
    )(train)


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
    dataset: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A stored dataset of yours, or owner/name: a task of its name. Repeatable.",
            show_default=False,
        ),
    ] = None,
    related: Annotated[
        int,
        typer.Option(
            min=0,
            max=_LIBRARY,
            help="Take in the tasks of so many prompts of the library that are nearest to these "
            "tasks, with their prompts: of those alone whose datasets you may see.",
        ),
    ] = 0,
    prompt: Annotated[
        list[str] | None,
        typer.Option(
            metavar=_TASK, help="The prompt that was tuned on a task of --data or --dataset."
        ),
    ] = None,
    *,
    options: Typed,
    wait: Wait = False,
    as_json: Json = False,
) -> None:
    """Train a meta-prompt on many tasks: it learns to write prompts.

    joint: in every step it writes prompts for some tasks, the model answers rows of these with
    them, and what it gets wrong is traced back through both.

    regression: what it writes is compared with prompts that were tuned on the tasks; where there
    is none, one is tuned first.

    Some tasks are held out and scored on; what is kept is the best that was scored.
    """
    stored = {name.rpartition("/")[2]: name for name in dataset or ()}
    if data is None and from_library is None and not stored:
        raise InvalidInput(
            "give --data FOLDER, --dataset NAME, --from-library WORDS, or several", field="data"
        )
    tasks = {} if data is None else _tasks(data.expanduser())
    if related and not (tasks or stored):
        raise InvalidInput("give --data or --dataset for it", field="related")
    if len(stored) < len(dataset or ()) or stored.keys() & tasks.keys():
        raise InvalidInput("two tasks have one name; leave one out", field="dataset")
    tuned = dict(_pair(text) for text in prompt or ())
    where = deployment.of(context)
    with where.client() as client:
        model = options["model"] or where.model(client)
        known = {
            name: rows.read(task.file("train"), "data", targets=True)
            for name, task in tasks.items()
        }
        for name, task in tasks.items():
            rows.check(
                client,
                task.file("train"),
                known[name],
                model,
                "train",
                truncate=options["truncate"],
                max_input_length=options["max_input_length"],
            )
        settings = options_from(
            MetaOptions,
            {**options, "model": model},
            tasks=_placeholders(len(tasks) + len(stored) + related, from_library),
        ).model_dump(exclude={"name", "tasks"}, exclude_unset=True)
        job = client.train_meta(
            options["name"],
            {**known, **stored},
            related=related,
            from_library=from_library,
            prompts=tuned,
            descriptions={
                name: task.description for name, task in tasks.items() if task.description
            },
            **settings,
        )
        submitting.follow(where, client, job, wait=wait, as_json=as_json)


def _placeholders(told: int, query: str | None) -> tuple[Any, ...]:
    """Tasks to check the options with, before those of the library are known."""
    count = max(told, 2 if query is None else _LIBRARY)
    return tuple({"name": f"task{number}"} for number in range(count))


def _tasks(folder: Path) -> dict[str, JsonlTask]:
    """A folder's tasks. Raises InvalidInput."""
    from ptsys.runs.tasks.jsonl_task import find_tasks

    found = {task.title: task for task in find_tasks(folder, field="data")}
    for name in found:
        check_name("data", name)
    return found


def _pair(text: str) -> tuple[str, str]:
    task, equals, prompt = text.partition("=")
    if not (task and equals and prompt):
        raise InvalidInput(f"{text!r}: write it as {_TASK}", field="prompt")
    return task, prompt
