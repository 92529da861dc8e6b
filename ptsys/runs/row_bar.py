"""A bar of rows answered, or lines where no terminal is."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ptsys.progress_lines import ProgressLines

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
    quiet = not console.is_terminal
    lines = ProgressLines(_say(console), "rows answered", total, at_once=True) if quiet else None
    with Progress(*columns, console=console, disable=quiet) as bars:
        bar = bars.add_task("rows", total=total)

        def tell(name: str, rows: int) -> None:
            done[name] = rows
            count = sum(done.values())
            bars.update(bar, description=name, completed=count)
            if lines is not None:
                lines.tell(count, title=f"{name}: rows answered")

        yield tell


def _say(console: Console) -> Callable[[str], None]:
    return lambda text: console.print(text, markup=False, soft_wrap=True)
