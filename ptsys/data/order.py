"""In which order a training run sees its rows."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from ptsys.errors import InvalidInput


@dataclasses.dataclass(frozen=True)
class BatchOrder:
    """The rows of every batch, as a pure function of (seed, step).

    An epoch is a permutation of all rows. Batches run across the borders of epochs: no row is
    dropped or seen twice within one, also where `batch_size` is greater than `rows`. A run that
    resumes at a step therefore goes on as if it had never stopped, on any version of numpy.
    """

    rows: int
    batch_size: int
    seed: int
    _epochs: dict[int, NDArray[np.int64]] = dataclasses.field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        for name, least in (("rows", 1), ("batch_size", 1), ("seed", 0)):
            value = getattr(self, name)
            if value < least:
                raise InvalidInput(f"{name} must be at least {least}, not {value}", field=name)

    def indices(self, step: int) -> NDArray[np.int64]:
        """Row numbers of the batch of `step` (counted from 0), [batch_size]."""
        if step < 0:
            raise ValueError(f"step must not be negative, got {step}")
        return self.drawn(step * self.batch_size, self.batch_size)

    def drawn(self, first: int, count: int) -> NDArray[np.int64]:
        """Row numbers of `count` draws from the draw number `first` (counted from 0), [count]."""
        batch = np.empty(count, np.int64)
        epoch, start = divmod(first, self.rows)
        filled = 0
        while filled < count:
            part = self._order(epoch)[start : start + count - filled]
            batch[filled : filled + len(part)] = part
            filled += len(part)
            epoch, start = epoch + 1, 0
        return batch

    def epoch(self, step: int) -> int:
        """The epoch to which the first row of that step's batch belongs, counted from 0."""
        return step * self.batch_size // self.rows

    def _order(self, epoch: int) -> NDArray[np.int64]:
        """The permutation of one epoch; the last two asked for are kept."""
        order = self._epochs.get(epoch)
        if order is None:
            order = permutation(self.rows, (self.seed, epoch))
            if len(self._epochs) > 1:
                self._epochs.clear()
            self._epochs[epoch] = order
        return order


def permutation(rows: int, key: tuple[int, ...]) -> NDArray[np.int64]:
    """A permutation of `rows` numbers that `key` alone decides.

    The raw stream of Philox and a stable sort do not change between versions of numpy, as
    `Generator.permutation` may (NEP 19).
    """
    keys = np.random.Philox(np.random.SeedSequence(key)).random_raw(rows)
    return np.argsort(keys, kind="stable")
