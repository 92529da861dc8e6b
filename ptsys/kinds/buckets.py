"""The few sizes that compiled shapes come in. Everything is padded up to the next one."""

from __future__ import annotations

from collections.abc import Sequence

from ptsys.errors import InvalidInput

ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
SLOTS = (1, 4, 16, 64, 256, 1024, 4096)


def fit(size: int, sizes: Sequence[int], field: str) -> int:
    """The smallest of `sizes` that holds `size`; raises InvalidInput above the largest."""
    fitting = smallest(size, sizes)
    if fitting is None:
        raise InvalidInput(f"{field} is {size}; the most is {sizes[-1]}", field=field)
    return fitting


def smallest(size: int, sizes: Sequence[int]) -> int | None:
    """The smallest of `sizes` that holds `size`, if one does."""
    return next((candidate for candidate in sizes if size <= candidate), None)
