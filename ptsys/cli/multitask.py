"""`ptsys multitask`: one general prompt and one for each of several tasks, tuned together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from ptsys.cli import deployment, submitting
from ptsys.cli.examples import examples
from ptsys.cli.output import Json
from ptsys.cli.submitting import RowsFile
from ptsys.cli.training_options import Typed, Wait, flags_of
from ptsys.errors import InvalidInput
from ptsys.types.multitask import MultiTaskOptions, TaskRows

_TASK = "TASK=FILE.jsonl"
_MIXING = Annotated[
    Literal["size", "equal", "rates"] | None,
    typer.Option(
        help="Draw rows by the files' sizes, from all tasks equally, or by --rate.",
        show_default="size, or rates if there are any",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog=examples(
            "ptsys multitask --name both --task a=a.jsonl --task b=b.jsonl --wait",
            "ptsys multitask --name sum --task a=a.jsonl --task b=b.jsonl --combination add",
            "ptsys multitask --name few --task a=a.jsonl --rate a=3 --task b=b.jsonl --rate b=1",
            "ptsys predict both.a inputs.jsonl",
        )
    )(multitask)


@flags_of(MultiTaskOptions, besides=("tasks",), otherwise={"mixing": (_MIXING, None)})
def multitask(
    context: typer.Context,
    task: Annotated[
        list[str],
        typer.Option(
            metavar=_TASK,
            help='A task and its rows, {"input": "...", "target": "..."} each; once for every '
            "task. A row without a target is trained on by span corruption.",
        ),
    ],
    validation: Annotated[
        list[str] | None,
        typer.Option(metavar=_TASK, help="Rows to score a task on as it learns."),
    ] = None,
    rate: Annotated[
        list[str] | None,
        typer.Option(metavar="TASK=RATE", help="How often a task is drawn, next to the others."),
    ] = None,
    *,
    options: Typed,
    wait: Wait = False,
    as_json: Json = False,
) -> None:
    """Tune a general prompt and one a task together, on a file of examples for each task.

    concat: the model reads the general prompt, and after it the task's.

    add: it reads their sum, so both have one length.

    affine: it reads what a map, learned too, makes of the two.

    `ptsys predict NAME.TASK` combines by itself; --general pairs with another prompt.
    """
    where = deployment.of(context)
    tasks = _pairs(task, "task", _TASK)
    scored = _pairs(validation or (), "validation", _TASK, known=tasks)
    rates = _pairs(rate or (), "rate", "TASK=RATE", known=tasks)
    named = [
        {"name": one, **({"rate": _number(rates[one])} if one in rates else {})} for one in tasks
    ]
    mixing = options["mixing"] or ("rates" if rates else "size")
    files = [RowsFile(Path(path), f"{one}.dataset") for one, path in tasks.items()]
    files += [
        RowsFile(Path(path), f"{one}.validation", scored=True) for one, path in scored.items()
    ]
    typed = {**options, "mixing": mixing}
    with submitting.asked(where, MultiTaskOptions, typed, tasks=named) as (client, wanted):
        job = submitting.submit(client, wanted, files, lambda ids: wanted.on(_by_task(ids)))
        submitting.follow(where, client, job, wait=wait, as_json=as_json)


def _by_task(ids: Mapping[str, str]) -> dict[str, TaskRows]:
    """The datasets of each task."""
    found: dict[str, TaskRows] = {}
    for field, dataset in ids.items():
        task, _, part = field.rpartition(".")
        rows = found.setdefault(task, {})
        if part == "validation":
            rows["validation"] = dataset
        else:
            rows["dataset"] = dataset
    return found


def _pairs(
    given: Sequence[str], field: str, form: str, known: dict[str, str] | None = None
) -> dict[str, str]:
    """What each task was given, as `TASK=VALUE`. Raises InvalidInput for another form, a task
    given twice, and one that is not among those `known`."""
    found: dict[str, str] = {}
    for text in given:
        task, equals, value = text.partition("=")
        if not (task and equals and value):
            raise InvalidInput(f"{text!r}: write it as {form}", field=field)
        if task in found:
            raise InvalidInput(f"task {task!r} is given twice", field=field)
        if known is not None and task not in known:
            raise InvalidInput(
                f"there is no task {task!r}; there are {', '.join(known)}", field=field
            )
        found[task] = value
    return found


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InvalidInput(f"{text!r} is no number", field="rate") from None
