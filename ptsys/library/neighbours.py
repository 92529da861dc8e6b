"""What augmentation knows of a second prompt."""

from __future__ import annotations

import dataclasses

from ptsys.types.records import Prompt


@dataclasses.dataclass(frozen=True)
class Neighbour:
    """A prompt that the user may see and its similarity to a query; `dataset` is the id of what
    it was trained on, if that is there and the user's to see too."""

    prompt: Prompt
    similarity: float
    dataset: str | None = None
