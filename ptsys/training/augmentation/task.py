"""What an augmentation is given, whom it asks, and what it gives back."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ptsys.data.features import EncodedExamples
from ptsys.library.augmentation import Origin
from ptsys.library.neighbours import Neighbour
from ptsys.types.augmentation import AugmentSpec
from ptsys.types.example import Example
from ptsys.types.records import Parent


class Sources(Protocol):
    """What the user may see of the library, asked anew at every stage."""

    def find(self, query: NDArray[np.float32]) -> Sequence[Neighbour]:
        """The second prompts of a query [P, D], best first."""
        ...

    def tensor(self, prompt: str) -> NDArray[np.float32] | None:
        """A second prompt as the model reads it, [Q, D]; None if it is not there any more."""
        ...

    def rows(self, dataset: str) -> Sequence[Example] | None:
        """A dataset's rows; None if it is not there any more."""
        ...


@dataclasses.dataclass(frozen=True)
class AugmentationTask:
    """An augmentation ready to begin: the user's rows encoded, the shared start [P, D], where the
    user names one the query [P, D], and if there is one, the start [P, D] that was `written` of the
    rows."""

    id: str
    user: str
    spec: AugmentSpec
    examples: EncodedExamples
    start: NDArray[np.float32]
    query: NDArray[np.float32] | None = None
    written: NDArray[np.float32] | None = None
    validation_inputs: Sequence[str] = ()
    validation_targets: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Augmented:
    """The end: the best chain's prompt and scores, and `steps`, the updates that led to it.

    `origin` is "shared" if these began at the shared start. `candidates` are the scores of every
    chain of the last round, by name.
    """

    prompt: NDArray[np.float32]
    scores: dict[str, float]
    steps: int
    origin: Origin
    winner: str
    parents: tuple[Parent, ...]
    candidates: dict[str, dict[str, float]]
