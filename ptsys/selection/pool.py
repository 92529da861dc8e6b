"""What examples are chosen from, and what is told of one that was.

Shape letters: N rows, D width of an encoding, C labels that a model chooses between.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from ptsys.errors import InvalidInput


class Pick(NamedTuple):
    """A row that was chosen, why, in words and in numbers, and the row it is like, if any."""

    row: int
    reason: str
    numbers: dict[str, float]
    partner: int | None = None


@dataclasses.dataclass(frozen=True)
class Pool:
    """Rows to choose from: their targets, where known; their encodings; and of each label in
    `labels` its log-probability (nats), each where a method wants them."""

    targets: Sequence[str | None]
    encodings: Float[ndarray, "N D"] | None = None
    scores: Float[ndarray, "N C"] | None = None
    labels: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.targets)

    def part(self, rows: Int[ndarray, " n"]) -> Pool:
        """The same of some rows alone."""
        return Pool(
            [self.targets[row] for row in rows],
            None if self.encodings is None else self.encodings[rows],
            None if self.scores is None else self.scores[rows],
            self.labels,
        )

    def read(self) -> Float[ndarray, "N D"]:
        """The encodings in float64."""
        assert self.encodings is not None
        return self.encodings.astype(np.float64)

    def scored(self) -> Float[ndarray, "N C"]:
        """The scores in float64."""
        assert self.scores is not None
        return self.scores.astype(np.float64)

    def classes(self) -> list[str]:
        """The targets there are, in order. Raises InvalidInput, naming the row, for one without."""
        for row, target in enumerate(self.targets):
            if target is None:
                raise InvalidInput(
                    f"row {row} has no target; give the answer, or choose over all rows by a "
                    "method that needs none",
                    field=f"rows.{row}.target",
                )
        return sorted({target for target in self.targets if target is not None})
