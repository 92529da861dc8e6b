"""In which order a multi-task run draws from its tasks, and which rows of each."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ptsys.data.order import BatchOrder, permutation

BLOCK = 10_000  # rows in which the shares are met exactly, to a row a task

_MIX = 0x6D6978  # keeps the order of tasks apart from that of rows


def task_shares(
    sizes: Sequence[int],
    mixing: Literal["size", "equal", "rates"],
    *,
    rates: Sequence[float] = (),
    size_limit: int | None = None,
) -> NDArray[np.float64]:
    """Each task's share of the rows, [N], that sum to 1.

    By size a task counts with its rows, `size_limit` at most (Raffel et al. 2020, section 3.5.2,
    examples-proportional mixing with its artificial limit); by rates with what is given.
    """
    if mixing == "rates":
        weights = np.array(rates, np.float64)
    elif mixing == "equal":
        weights = np.ones(len(sizes))
    else:
        weights = np.minimum(np.array(sizes, np.float64), size_limit or np.inf)
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares


@dataclasses.dataclass(frozen=True)
class TaskMix:
    """The rows of every batch of a multi-task run, as a pure function of (seed, step).

    The stream of rows comes in blocks of `BLOCK`. In each a task has its share, rounded by
    largest remainders and never below one row, and the tasks are shuffled; within a task the rows
    come epoch by epoch, as in `BatchOrder`. A run that resumes at a step therefore goes on as if
    it had never stopped.
    """

    sizes: tuple[int, ...]
    shares: tuple[float, ...]
    batch_size: int
    seed: int
    _counts: NDArray[np.int64] = dataclasses.field(init=False, repr=False, compare=False)
    _orders: tuple[BatchOrder, ...] = dataclasses.field(init=False, repr=False, compare=False)
    _blocks: dict[int, NDArray[np.int64]] = dataclasses.field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "_counts", block_counts(np.array(self.shares)))
        orders = tuple(BatchOrder(size, 1, self.seed) for size in self.sizes)
        object.__setattr__(self, "_orders", orders)

    def rows(self, step: int) -> dict[int, NDArray[np.int64]]:
        """The numbers of the tasks in the batch of `step` (counted from 0), in order, and of each
        its rows' numbers; together `batch_size` rows."""
        first = step * self.batch_size
        drawn: dict[int, list[NDArray[np.int64]]] = {}
        for block, start, stop in _pieces(first, first + self.batch_size):
            tasks = self._block(block)
            before = np.bincount(tasks[:start], minlength=len(self.sizes))
            here = np.bincount(tasks[start:stop], minlength=len(self.sizes))
            for task in np.flatnonzero(here).tolist():
                at = block * self._counts[task] + before[task]
                rows = self._orders[task].drawn(int(at), int(here[task]))
                drawn.setdefault(task, []).append(rows)
        return {task: np.concatenate(drawn[task]) for task in sorted(drawn)}

    def indices(self, step: int) -> NDArray[np.int64]:
        """The same rows by their numbers through all tasks, one after another as
        `ptsys.data.mixture_order.joined` lays them, [batch_size]."""
        starts = np.cumsum([0, *self.sizes[:-1]])
        return np.concatenate([starts[task] + rows for task, rows in self.rows(step).items()])

    def _block(self, block: int) -> NDArray[np.int64]:
        """The task of every row of a block, [BLOCK]; the last two asked for are kept."""
        tasks = self._blocks.get(block)
        if tasks is None:
            order = permutation(BLOCK, (self.seed, block, _MIX))
            tasks = np.repeat(np.arange(len(self.sizes)), self._counts)[order]
            if len(self._blocks) > 1:
                self._blocks.clear()
            self._blocks[block] = tasks
        return tasks


def block_counts(shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """Rows of a block for each task, [N], that sum to BLOCK: the shares by largest remainders,
    at least one each, which the largest give."""
    exact = shares * BLOCK
    counts = np.floor(exact).astype(np.int64)
    order = np.argsort(counts - exact, kind="stable")
    counts[order[: BLOCK - counts.sum()]] += 1
    for task in np.flatnonzero(counts == 0):
        counts[np.argmax(counts)] -= 1
        counts[task] = 1
    return counts


def _pieces(first: int, last: int) -> Iterator[tuple[int, int, int]]:
    """Blocks from row `first` to before `last` of the stream, each with its part of them."""
    while first < last:
        block, start = divmod(first, BLOCK)
        stop = min(BLOCK, start + last - first)
        yield block, start, stop
        first += stop - start
