"""A bar of rows answered, on the terminal."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Done = Callable[[str, int], object]
"""Tells that so many rows of a name are answered."""


@contextlib.contextmanager
def row_bar(total: int) -> Iterator[Done]:
    """Show how many of `total` rows are answered, and of what."""
    console = Console(stderr=True, highlight=False)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    done: dict[str, int] = {}
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        bar = bars.add_task("rows", total=total)

        def tell(name: str, rows: int) -> None:
            done[name] = rows
            bars.update(bar, description=name, completed=sum(done.values()))

        yield tell
