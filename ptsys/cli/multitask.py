"""`ptsys multitask`: one general prompt and one for each of several tasks, tuned together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ptsys.cli import deployment, submitting
from ptsys.cli import training_options as options
from ptsys.cli.decoding_options import Truncate
from ptsys.cli.examples import examples
from ptsys.cli.failures import make
from ptsys.cli.output import Json
from ptsys.cli.submitting import RowsFile
from ptsys.errors import InvalidInput

Combination = Literal["add", "concat", "affine"]
Mixing = Literal["size", "equal", "rates"]

_TASK = "TASK=FILE.jsonl"
_LENGTH = typer.Option(
    help="Tokens in each task's own prompt; 0 with affine: its map is all it has.",
    show_default="as --length",
)


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


def multitask(
    context: typer.Context,
    name: Annotated[
        str, typer.Option(help="What the general prompt will be called; a task's is NAME.TASK.")
    ],
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
    mixing: Annotated[
        Mixing | None,
        typer.Option(
            help="Draw rows by the files' sizes, from all tasks equally, or by --rate.",
            show_default="size, or rates if there are any",
        ),
    ] = None,
    size_limit: Annotated[
        int | None, typer.Option(help="By size: a larger file counts as one of so many rows.")
    ] = None,
    combination: Annotated[
        Combination, typer.Option(help="How the general and a task's prompt become one.")
    ] = "concat",
    model: options.Model = None,
    steps: options.Steps = 300,
    length: Annotated[int, typer.Option(help="Tokens in the general prompt.")] = 16,
    task_length: Annotated[int | None, _LENGTH] = None,
    combined_length: Annotated[
        int | None, typer.Option(help="Affine: tokens that the map makes.", show_default="both's")
    ] = None,
    batch_size: options.BatchSize = 16,
    optimizer: options.OptimizerOption = "adafactor",
    learning_rate: options.LearningRate = None,
    affine_learning_rate: Annotated[
        float | None,
        typer.Option(
            "--affine-lr",
            help="Affine: how fast the map learns.",
            show_default="a hundredth of --lr",
        ),
    ] = None,
    weight_decay: options.WeightDecay = 0.0,
    warmup: options.Warmup = 0,
    decay: options.Decay = "constant",
    init: options.Init = "shared",
    seed: options.Seed = 0,
    max_input_length: options.MaxInputLength = None,
    truncate: Truncate = False,
    evaluate_every: options.EvaluateEvery = 100,
    checkpoint_every: options.CheckpointEvery = 50,
    wait: options.Wait = False,
    as_json: Json = False,
) -> None:
    """Tune a general prompt and one a task together, on a file of examples for each task.

    concat: the model reads the general prompt, and after it the task's.

    add: it reads their sum, so both have one length.

    affine: it reads what a map, learned too, makes of the two.

    `ptsys predict NAME.TASK` combines by itself; --general pairs with another prompt.
    """
    from ptsys.types.multitask import MultiTaskSpec

    where = deployment.of(context)
    tasks = _pairs(task, "task", _TASK)
    scored = _pairs(validation or (), "validation", _TASK, known=tasks)
    rates = _pairs(rate or (), "rate", "TASK=RATE", known=tasks)
    described = [
        {"name": one, "dataset": "", **({"rate": _number(rates[one])} if one in rates else {})}
        for one in tasks
    ]
    fields: dict[str, Any] = {
        "name": name,
        "tasks": described,
        "combination": combination,
        "mixing": mixing or ("rates" if rates else "size"),
        "size_limit": size_limit,
        "model": model or where.settings.model,
        "steps": steps,
        "length": length,
        "task_length": task_length,
        "combined_length": combined_length,
        "affine_learning_rate": affine_learning_rate,
        "batch_size": batch_size,
        "optimizer": options.optimizer(optimizer, learning_rate, weight_decay, warmup, decay),
        "initialization": options.initialization(init),
        "seed": seed,
        "max_input_length": max_input_length,
        "truncate": truncate,
        "evaluate_every": evaluate_every,
        "checkpoint_every": checkpoint_every,
    }
    spec = make(MultiTaskSpec, **fields)
    files = [RowsFile(Path(path), "dataset") for path in tasks.values()]
    files += [RowsFile(Path(path), "validation", scored=True) for path in scored.values()]
    with where.service() as service:
        ids = submitting.store(service, spec, files, where.user)
        datasets = dict(zip(tasks, ids, strict=False))
        validations = dict(zip(scored, ids[len(tasks) :], strict=True))
        stored = [
            one.model_copy(
                update={"dataset": datasets[one.name], "validation": validations.get(one.name)}
            )
            for one in spec.tasks
        ]
        job = service.submit(spec.model_copy(update={"tasks": tuple(stored)}), where.user)
        submitting.follow(where, service, job, wait=wait, as_json=as_json)


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
