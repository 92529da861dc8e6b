"""What a run needs of a task, wherever its rows come from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, Protocol

from ptsys.engine.trainings import RowOrder
from ptsys.types.example import Example
from ptsys.types.names import NAME

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")


class Task(Protocol):
    """Rows to train on and to score with, and how answers are scored."""

    @property
    def title(self) -> str:
        """What it, its dataset and its prompt are called."""

    @property
    def metric(self) -> str:
        """The first of its scores: the one that is compared."""

    @property
    def description(self) -> str | None:
        """What it is about, as far as that is known."""

    @property
    def licence(self) -> str | None:
        """Of its rows."""

    @property
    def kind(self) -> str | None:
        """Becomes one of its prompt's tags."""

    @property
    def rate(self) -> float | None:
        """How often it is drawn, next to other tasks' rates."""

    def rows(self, part: Part) -> list[Example]:
        """The rows of a part; none where it has no such part, unless it is the training rows.

        Raises InvalidInput for rows that cannot be read, naming where.
        """

    def score(self, part: Part, predictions: Sequence[str]) -> dict[str, float]:
        """The scores of answers to the rows of that part, in their order."""

    def order(self, batch_size: int, seed: int) -> RowOrder | None:
        """In which order training sees the rows; None is epoch by epoch."""


def named(text: str) -> str:
    """The text as a name that the store takes: `glue/cola:1.0` is `glue-cola-1.0`."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", text).lstrip("-._")[:100]
    return name if re.fullmatch(NAME, name) else "task"
