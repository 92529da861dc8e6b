"""`ptsys augment`: a prompt for a few rows, lifted by prompts and datasets of the library."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ptsys.cli import deployment, submitting
from ptsys.cli import training_options as options
from ptsys.cli.decoding_options import Truncate
from ptsys.cli.examples import examples
from ptsys.cli.failures import make
from ptsys.cli.output import Json
from ptsys.cli.submitting import RowsFile
from ptsys.errors import InvalidInput
from ptsys.types.augmentation import AugmentSpec, Strategy
from ptsys.types.metric import Metric

if TYPE_CHECKING:
    from ptsys.jobs.service import Service
    from ptsys.types.records import Prompt

Weights = Literal["similarity", "equal"]
Begin = Literal["query", "shared"]
Start = Literal["best", "nearest", "combination"]

_UNSET = AugmentSpec(name="unset", dataset="unset")  # every default is the spec's

_PROMPT = typer.Argument(
    metavar="PROMPT",
    help="A prompt to search with, as it is; without --data, its own dataset's rows are yours.",
    show_default=False,
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog=examples(
            "ptsys augment --data few.jsonl --name lifted --wait",
            "ptsys augment few --name lifted --strategy curriculum --neighbours 5",
            "ptsys augment few --name lifted --strategy initialization --start combination",
            "ptsys augment --data few.jsonl --name lifted --budget 600 --rounds 2",
        )
    )(augment)


def augment(
    context: typer.Context,
    prompt: Annotated[str | None, _PROMPT] = None,
    *,
    data: Annotated[
        Path | None, typer.Option(metavar="FEW.jsonl", help="Your rows, as for `ptsys train`.")
    ] = None,
    name: Annotated[str, typer.Option(help="What the new prompt will be called.")],
    strategy: Annotated[
        Strategy, typer.Option(help="How the library helps; auto tries the others.")
    ] = _UNSET.strategy,
    neighbours: Annotated[int, typer.Option(help="Second prompts to use.")] = _UNSET.neighbours,
    candidates: Annotated[
        int, typer.Option(help="Found prompts to try on your rows, of which the best are used.")
    ] = _UNSET.candidates,
    rounds: Annotated[
        int, typer.Option(help="How often; the result is the next one's query.")
    ] = _UNSET.rounds,
    validation: Annotated[
        Path | None,
        typer.Option(
            help="Rows to score on, JSONL too; auto chooses by them.",
            show_default="auto holds out a quarter of yours",
        ),
    ] = None,
    metric: Annotated[Metric, typer.Option(help="What is alike.")] = _UNSET.metric,
    minimum_similarity: Annotated[
        float | None, typer.Option(help="Leave out what is less alike.", show_default="all")
    ] = None,
    weights: Annotated[
        Weights, typer.Option(help="How second prompts share a mixture or a start.")
    ] = _UNSET.weights,
    temperature: Annotated[
        float, typer.Option(help="The lower, the more the most similar weighs.")
    ] = _UNSET.temperature,
    begin: Annotated[
        Begin, typer.Option(help="Where a curriculum or a mixture starts.")
    ] = _UNSET.begin,
    start: Annotated[
        Start, typer.Option(help="Where initialization starts: the best on your rows, or others.")
    ] = _UNSET.start,
    query_steps: Annotated[
        int, typer.Option(help="Updates that make the query, unless PROMPT is it.")
    ] = _UNSET.query_steps,
    second_steps: Annotated[
        int, typer.Option(help="Updates on each dataset of a curriculum.")
    ] = _UNSET.second_steps,
    steps: Annotated[
        int, typer.Option(help="Updates on your rows at the end, or on a mixture.")
    ] = _UNSET.steps,
    own_share: Annotated[
        float, typer.Option(help="Your rows' share of a mixture.")
    ] = _UNSET.own_share,
    polish_steps: Annotated[
        int, typer.Option(help="Updates on your rows alone after a mixture.")
    ] = _UNSET.polish_steps,
    own_learning_rate: Annotated[
        float | None,
        typer.Option(
            help="On your rows alone, after others'.", show_default="a third of --learning-rate"
        ),
    ] = None,
    budget: Annotated[
        int | None,
        typer.Option(help="For auto: the most updates in all.", show_default="as many as it takes"),
    ] = None,
    model: options.Model = None,
    length: Annotated[
        int | None,
        typer.Option(help="Tokens in the prompt.", show_default=f"PROMPT's, or {_UNSET.length}"),
    ] = None,
    batch_size: options.BatchSize = _UNSET.batch_size,
    optimizer: options.OptimizerOption = "adafactor",
    learning_rate: options.LearningRate = None,
    weight_decay: options.WeightDecay = 0.0,
    warmup: options.Warmup = 0,
    decay: options.Decay = "constant",
    seed: options.Seed = 0,
    max_input_length: options.MaxInputLength = None,
    truncate: Truncate = False,
    evaluate_every: options.EvaluateEvery = _UNSET.evaluate_every,
    checkpoint_every: options.CheckpointEvery = _UNSET.checkpoint_every,
    wait: options.Wait = False,
    as_json: Json = False,
) -> None:
    """Tune a prompt on a few rows, with the help of similar prompts of the library.

    curriculum: on the datasets of similar prompts in turn, the most similar last, then on yours.

    multitask: on all of these mixed.

    initialization: on yours, from the most similar prompt, or several combined.

    auto: all three, and the best on rows to score on is kept, or a prompt found as it is.

    Only what you may see is used, and `ptsys prompts show NAME` tells what was.
    """
    where = deployment.of(context)
    if prompt is None and data is None:
        raise InvalidInput("give your rows (--data FEW.jsonl), or a PROMPT of yours", field="data")
    with where.service() as service:
        query = None if prompt is None else service.prompts.get(prompt, where.user)
        fields: dict[str, Any] = {
            "name": name,
            "dataset": "" if data is not None else _dataset(query),
            "query": None if query is None else query.id,
            "strategy": strategy,
            "neighbours": neighbours,
            "candidates": candidates,
            "rounds": rounds,
            "metric": metric,
            "minimum_similarity": minimum_similarity,
            "weights": weights,
            "temperature": temperature,
            "begin": begin,
            "start": start,
            "query_steps": query_steps,
            "second_steps": second_steps,
            "steps": steps,
            "own_share": own_share,
            "polish_steps": polish_steps,
            "own_learning_rate": own_learning_rate,
            "budget": budget,
            "model": model or (where.settings.model if query is None else query.model),
            "length": length or (_UNSET.length if query is None else query.length),
            "batch_size": batch_size,
            "optimizer": options.optimizer(optimizer, learning_rate, weight_decay, warmup, decay),
            "seed": seed,
            "max_input_length": max_input_length,
            "truncate": truncate,
            "evaluate_every": evaluate_every,
            "checkpoint_every": checkpoint_every,
        }
        spec = _stored(service, make(AugmentSpec, **fields), data, validation, where.user)
        job = service.submit(spec, where.user)
        submitting.follow(where, service, job, wait=wait, as_json=as_json)


def _dataset(query: Prompt | None) -> str:
    """The rows that a prompt was trained on. Raises InvalidInput if they are not known."""
    assert query is not None
    if query.dataset is None:
        raise InvalidInput(
            f"the dataset of prompt {query.name!r} is not known, or not yours to see; give your "
            "rows with --data",
            field="prompt",
        )
    return query.dataset


def _stored(
    service: Service, spec: AugmentSpec, data: Path | None, validation: Path | None, user: str
) -> AugmentSpec:
    """The spec with the datasets of these files."""
    files = [] if data is None else [RowsFile(data, "dataset")]
    if validation is not None:
        files.append(RowsFile(validation, "validation", scored=True))
    ids = submitting.store(service, spec, files, user)
    return spec.model_copy(
        update={file.field: dataset for file, dataset in zip(files, ids, strict=True)}
    )
