"""A map of the prompt library: where prompts lie, and what is told of each."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ptsys.types.library import VectorKind
from ptsys.types.model import Value

ColorBy = Literal["tag", "owner", "dataset", "model"]
"""What the colours of a map tell apart."""

MOST_POINTS = 5000
"""Prompts on one map; of more a sample is drawn."""


class MapPoint(Value):
    """A prompt's place, and what is told of it to the one who asks. `accuracy` is None where none
    is recorded, `dataset` the name of one that is theirs to see."""

    prompt: str
    name: str
    owner: str
    model: str
    x: float
    y: float
    uses: int
    accuracy: float | None = None
    dataset: str | None = None
    tags: tuple[str, ...] = ()
    description: str | None = None


class PromptMap(Value):
    """Prompts of one model, those alike near each other. Only distances between neighbours mean
    something; the axes mean nothing."""

    model: str
    model_fingerprint: str
    kind: VectorKind
    method: Literal["none", "pca", "t-sne"]
    total: int = Field(description="Prompts that you may see; of too many the map shows a sample.")
    points: tuple[MapPoint, ...]

    @property
    def sampled(self) -> bool:
        """Whether it shows some of the prompts alone."""
        return self.total > MOST_POINTS
