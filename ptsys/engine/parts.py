"""How the rows of one request are cut into calls: short rows apart from long ones, so that none is
padded much, and into as many as keep all data shards busy.

Only the request's own rows decide, so company changes nothing about where a row runs.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from ptsys.kinds.buckets import ROWS, fit


@dataclasses.dataclass(frozen=True)
class Costs:
    """What a program costs besides its rows, in positions of a gradient pass: its `start`, and
    reading the `weights`. `full` positions of a shard's rows use its device well; more are taken
    in several programs where padding them to one size would cost more than these do."""

    start: float
    weights: float
    full: int | None = None

    @property
    def program(self) -> float:
        """Of one program more."""
        return self.start + self.weights

    @property
    def share(self) -> float:
        """Positions that are worth another shard's work."""
        return 10 * self.start + self.weights

    def most_rows(self, positions: int) -> int:
        """Rows of so many positions that a shard takes at a time."""
        if self.full is None:
            return ROWS[-1]
        return 1 << max(self.full // positions, 1).bit_length() - 1

    def at_once(self, rows: int, positions: int) -> int:
        """How many of the rows that wait for a shard it takes in its next program."""
        rows = min(rows, self.most_rows(positions))
        padded = fit(rows, ROWS, "rows")
        if self.full is None or (padded - rows) * positions <= self.program:
            return rows
        return max(size for size in ROWS if size <= rows)


@dataclasses.dataclass(frozen=True)
class Part:
    """The numbers of rows that travel together, padded to `inputs` tokens."""

    rows: tuple[int, ...]
    inputs: int


@dataclasses.dataclass(frozen=True)
class Cutting:
    """What a cut goes by: the padded lengths there are, positions that every row has besides, the
    costs of programs, and the most rows of a call. Calls that lie on one shard whole are made for
    as many as `shards`."""

    sizes: Sequence[int]
    besides: int
    costs: Costs
    most: int
    shards: int = 1

    def programs(self, rows: int, inputs: int) -> list[int]:
        """Rows of one padded length that each shard gets, program by program."""
        positions = inputs + self.besides
        left = math.ceil(rows / self.spread(rows, inputs))
        found = []
        while left:
            found.append(min(self.costs.at_once(left, positions), self.most))
            left -= found[-1]
        return found

    def spread(self, rows: int, inputs: int) -> int:
        """Shards that so many rows are worth."""
        worth = rows * (inputs + self.besides) / self.costs.share
        return max(min(self.shards, rows, int(worth)), 1)

    def cost(self, rows: int, inputs: int) -> float:
        """Of rows of one padded length, in positions of one shard."""
        programs = self.programs(rows, inputs)
        padded = sum(fit(rows, ROWS, "rows") for rows in programs)
        return padded * (inputs + self.besides) + len(programs) * self.costs.program


def cut(lengths: Sequence[int], by: Cutting) -> list[Part]:
    """The cheapest cut of rows of these lengths. Rows of a part are in their order."""
    parts = []
    for rows, inputs in _by_length(lengths, by):
        start, shards = 0, by.spread(len(rows), inputs)
        for size in by.programs(len(rows), inputs):
            for _ in range(shards):
                part = rows[start : start + size]
                if part:
                    parts.append(Part(tuple(part), inputs))
                start += size
    return parts


def _by_length(lengths: Sequence[int], by: Cutting) -> list[tuple[list[int], int]]:
    """Rows by padded length, the shortest first; neighbouring lengths are put together where that
    costs less."""
    found: dict[int, list[int]] = {}
    for row, length in enumerate(lengths):
        found.setdefault(fit(length, by.sizes, "inputs"), []).append(row)
    sizes = sorted(found)
    least = [0.0]  # what the rows of the first so many lengths cost
    begins = [0]
    for end in range(1, len(sizes) + 1):
        rows, choices = 0, []
        for begin in reversed(range(end)):
            rows += len(found[sizes[begin]])
            choices.append((least[begin] + by.cost(rows, sizes[end - 1]), begin))
        cost, begin = min(choices)
        least.append(cost)
        begins.append(begin)
    groups = []
    end = len(sizes)
    while end:
        together = sizes[begins[end] : end]
        groups.append((sorted(row for size in together for row in found[size]), sizes[end - 1]))
        end = begins[end]
    return groups[::-1]
