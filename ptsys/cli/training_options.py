"""The options that say how prompts are trained, shared by the commands that train some."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ptsys.cli.failures import make
from ptsys.errors import InvalidInput

if TYPE_CHECKING:
    from ptsys.types.training import Initialization, Optimizer

OptimizerKind = Literal["adafactor", "adamw", "sgd"]
DecayKind = Literal["constant", "linear", "cosine"]

LEARNING_RATES: dict[OptimizerKind, float] = {"adafactor": 0.3, "adamw": 0.3, "sgd": 10.0}
"""What `--learning-rate` is when nothing is said."""

Model = Annotated[
    str | None,
    typer.Option(help="The frozen model.", envvar="PTSYS_MODEL", show_default="tiny"),
]
Steps = Annotated[int, typer.Option(help="Updates of the prompt.")]
BatchSize = Annotated[int, typer.Option(help="Rows a step.")]
OptimizerOption = Annotated[OptimizerKind, typer.Option(help="How it is updated.")]
LearningRate = Annotated[
    float | None,
    typer.Option(
        "--learning-rate",
        "--lr",
        help="How fast.",
        show_default=", ".join(f"{rate:g} for {kind}" for kind, rate in LEARNING_RATES.items()),
    ),
]
WeightDecay = Annotated[float, typer.Option(help="Share lost a step.")]
Warmup = Annotated[int, typer.Option(help="Steps until the full learning rate.")]
Decay = Annotated[DecayKind, typer.Option(help="The rate's way after warm-up.")]
Init = Annotated[
    str,
    typer.Option(
        help="Where the prompt starts: shared, vocabulary, labels, text:SOME WORDS or prompt:NAME."
    ),
]
Seed = Annotated[int, typer.Option(help="Of the order of rows and of random starts.")]
MaxInputLength = Annotated[
    int | None,
    typer.Option(help="The most tokens that are read of an input.", show_default="the model's"),
]
EvaluateEvery = Annotated[int, typer.Option(help="Steps between two scores.")]
CheckpointEvery = Annotated[int, typer.Option(help="Steps between checkpoints.")]
Wait = Annotated[bool, typer.Option("--wait", help="Show it learn, until it is done.")]


def optimizer(
    kind: OptimizerKind, rate: float | None, weight_decay: float, warmup: int, decay: DecayKind
) -> Optimizer:
    """The optimizer that these options describe. Raises InvalidInput, naming the option."""
    from ptsys.types.training import Optimizer

    return make(
        Optimizer,
        kind=kind,
        learning_rate=LEARNING_RATES[kind] if rate is None else rate,
        weight_decay=weight_decay,
        warmup_steps=warmup,
        decay=decay,
    )


def initialization(text: str) -> Initialization:
    """The start that `--init` names. Raises InvalidInput."""
    from ptsys.types.training import Initialization

    kind, _, rest = text.partition(":")
    if kind in ("shared", "vocabulary", "labels") and not rest:
        return make(Initialization, kind=kind)
    if kind in ("text", "prompt") and rest:
        return make(Initialization, kind=kind, **{kind: rest})
    raise InvalidInput(
        f"{text!r} is no start; write shared, vocabulary, labels, text:SOME WORDS or prompt:NAME",
        field="init",
    )
