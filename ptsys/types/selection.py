"""Examples chosen out of many, and why each was."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ptsys.types.model import Value

SelectionMethod = Literal["kmeans", "margin", "contrastive", "badge", "random"]

MOST_ROWS = 10_000
"""Rows that are chosen from at a time."""
MOST_CHOSEN = 1000
MOST_SCORES = 200_000
"""Labels scored for all rows together, by methods that ask a prompted model."""
MOST_PLACES = 2000
"""Rows that have a place on a map; of more, those chosen and a sample of the rest have."""


class Chosen(Value):
    """One row that was chosen."""

    row: int = Field(description="Its number among the rows it was chosen from, from 0.")
    input: str
    target: str | None
    reason: str = Field(description="Why it was chosen, in words.")
    numbers: dict[str, float] = Field(
        description="The same in numbers: `kmeans` tells `distance` and `cluster_rows`; `margin` "
        "tells `margin`, `best` and `second` (nats); `contrastive` tells `similarity`; `badge` "
        "tells `norm` and, after the first, `distance`."
    )
    partner: int | None = Field(
        default=None, description="Of `contrastive`: the number of the row that it is like."
    )


class Place(Value):
    """Where a row lies on a map of the encodings."""

    row: int
    target: str | None
    x: float
    y: float


class Places(Value):
    """A map of the encodings: rows that the model reads alike lie near each other. The axes mean
    nothing."""

    method: Literal["none", "pca", "t-sne"]
    points: tuple[Place, ...]


class Selection(Value):
    """What was chosen, the most telling first."""

    method: SelectionMethod
    model: str
    prompt: str | None = Field(description="The id of the prompt that rows were read with.")
    seed: int
    per_class: bool
    rows: int = Field(description="How many rows there were to choose from.")
    labels: tuple[str, ...] = Field(description="Of `margin` and `badge`: what was scored.")
    chosen: tuple[Chosen, ...]
    places: Places | None = Field(default=None, description="The map, where it was asked for.")
    cut_inputs: int = Field(default=0, description="Inputs that were too long, and cut.")
    unknown_inputs: int = Field(
        default=0, description="Inputs with characters that the model's vocabulary does not know."
    )
