"""The most rows a step, or rows at a time, that fit, found by compiling.

A compilation takes minutes, and memory grows along a line with rows: so after two sizes that fit
the next one tried is where the line meets the chip's memory. Until then sizes double; afterwards
the space between the largest that fits and the smallest that does not is halved.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from ptsys.plan.case import Case
from ptsys.plan.compiling import Compiled

Compile = Callable[[Case], Compiled]
AtSize = Callable[[int], Case]
_CLOSE = 8  # the answer is off by at most an eighth of itself
_SAFE = 0.98  # of the size that the line promises


@dataclasses.dataclass(frozen=True)
class Most:
    """The largest size that fits, if any does, and the smallest tried that does not."""

    fits: Compiled | None
    too_large: Compiled | None


def largest(at: AtSize, compile_: Compile, *, first: int, most: int) -> Most:
    """The largest size from 1 to `most` whose case fits, to within an eighth of itself by what was
    compiled or by the line through it; `first` is tried first."""
    fitting: list[tuple[int, Compiled]] = []
    low, high = 0, most + 1
    worst: Compiled | None = None
    size = min(max(first, 1), most)
    while True:
        compiled = compile_(at(size))
        if compiled.memory.fits:
            fitting.append((size, compiled))
            low = size
        else:
            worst, high = compiled, size
        near = min(high, _limit(fitting) or high)
        if near - low <= max(1, low // _CLOSE):
            return Most(fitting[-1][1] if fitting else None, worst)
        size = _next(fitting, low, high)


def _next(fitting: list[tuple[int, Compiled]], low: int, high: int) -> int:
    """A size strictly between `low`, which fits, and `high`, which does not."""
    middle = (low + high) // 2
    limit = _limit(fitting)
    if limit is not None:
        guess = int(_SAFE * limit) if _SAFE * limit < high else middle
    else:
        guess = min(2 * low, middle) if low else middle
    return min(max(guess, low + 1), high - 1)


def _limit(fitting: list[tuple[int, Compiled]]) -> float | None:
    """Where the line through the last two sizes that fit meets the chip's memory."""
    if len(fitting) < 2:
        return None
    (size0, found0), (size1, found1) = fitting[-2:]
    slope = (found1.memory.used - found0.memory.used) / (size1 - size0)
    if slope <= 0:
        return float("inf")
    return size1 + (found1.memory.hbm - found1.memory.used) / slope


def largest_power(at: AtSize, compile_: Compile, *, first: int, most: int) -> Most:
    """The largest of 1, 2, 4, ... `most` whose case fits, from `first` on, or below it."""
    fits: Compiled | None = None
    worst: Compiled | None = None
    size = first
    while 1 <= size <= most:
        compiled = compile_(at(size))
        if compiled.memory.fits:
            fits, size = compiled, 2 * size
        else:
            worst, size = compiled, size // 2
        if fits and worst:
            break
    return Most(fits, worst)


def more_rows(case: Case, *, users_follow: bool) -> AtSize:
    """The case with `size` rows on every data shard; with `users_follow` every row has a user of
    its own."""

    def at(size: int) -> Case:
        rows = size * case.data
        return dataclasses.replace(case, rows=rows, users=rows if users_follow else case.users)

    return at
