"""In which order one prompt's run sees the rows of several datasets, mixed by rates."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ptsys.data.features import EncodedExamples
from ptsys.data.task_mixing import TaskMix, task_shares


@dataclasses.dataclass(frozen=True)
class MixtureOrder:
    """The rows of every batch of a mixture, as a pure function of (seed, step).

    Rows are numbered through all datasets, one after another as `joined` lays them. A dataset has
    its share of the rows, however many it has: see `ptsys.data.task_mixing.TaskMix`.
    """

    sizes: tuple[int, ...]
    rates: tuple[float, ...]
    batch_size: int
    seed: int
    _mix: TaskMix = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        shares = task_shares(self.sizes, "rates", rates=self.rates)
        mix = TaskMix(self.sizes, tuple(shares.tolist()), self.batch_size, self.seed)
        object.__setattr__(self, "_mix", mix)

    def indices(self, step: int) -> NDArray[np.int64]:
        """Row numbers of the batch of `step` (counted from 0), [batch_size]."""
        return self._mix.indices(step)


def joined(parts: Sequence[EncodedExamples]) -> EncodedExamples:
    """Several datasets as one, their rows one after another."""
    return EncodedExamples(
        inputs=[row for part in parts for row in part.inputs],
        targets=[row for part in parts for row in part.targets],
        texts=[text for part in parts for text in part.texts],
        max_input=max(part.max_input for part in parts),
        max_target=max(part.max_target for part in parts),
        truncated=sum(part.truncated for part in parts),
        unknown=sum(part.unknown for part in parts),
        limit=max(part.limit for part in parts),
    )
