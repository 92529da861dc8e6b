"""A progress bar of rows, on stderr, gone when it is done."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from ptsys.cli.output import messages


@contextlib.contextmanager
def row_progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Call what it gives with the number of rows that are done more."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("rows"),
        TimeElapsedColumn(),
    )
    console = messages()
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(what, total=total)
        yield lambda rows: bar.advance(task, rows)
