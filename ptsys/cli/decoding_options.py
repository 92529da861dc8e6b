"""The options that say how answers are made, shared by the commands that make some."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ptsys.cli.failures import make
from ptsys.errors import InvalidInput

if TYPE_CHECKING:
    from ptsys.types.requests import Decoding

MethodName = Literal["greedy", "sample", "beam"]
Method = Annotated[MethodName, typer.Option(help="How answers are made.")]
Labels = Annotated[
    str | None,
    typer.Option(metavar="A,B,…", help="Answer with the likeliest of these, whatever --method."),
]
MaxTokens = Annotated[int, typer.Option(help="Longest answer.")]
Temperature = Annotated[float, typer.Option(help="For sample: below 1 is more certain.")]
TopP = Annotated[float, typer.Option(help="For sample: this share of the probability.")]
Beams = Annotated[int, typer.Option(help="For beam: answers followed at a time.")]
LengthPenalty = Annotated[float, typer.Option(help="For beam: more favours long answers.")]
Seed = Annotated[int, typer.Option(help="For sample.")]
Truncate = Annotated[
    bool, typer.Option("--truncate", help="Cut inputs that are too long, instead of refusing them.")
]
Timeout = Annotated[float, typer.Option(help="Seconds to wait for each batch of rows.")]
Model = Annotated[
    str | None, typer.Option(help="The model of a prompt in a file.", show_default="tiny")
]


def decoding(labels: str | None = None, **values: Any) -> Decoding:
    """The decoding that these options describe. Raises InvalidInput, naming the option."""
    from ptsys.types.requests import Decoding

    return make(Decoding, labels=label_list(labels), **values)


def label_list(text: str | None) -> tuple[str, ...] | None:
    """`a, b` as labels; None if the option was not given. A comma belongs to no label. Raises
    InvalidInput where there are none in it."""
    if text is None:
        return None
    labels = tuple(part.strip() for part in text.split(",") if part.strip())
    if not labels:
        raise InvalidInput(f"{text!r} names no label; write good,bad", field="labels")
    return labels
