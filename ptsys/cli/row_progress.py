"""Progress of rows that workers answer, on stderr: a bar, gone when it is done, or lines."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ptsys.cli.compile_notes import compile_notes
from ptsys.cli.output import messages, note
from ptsys.progress_lines import ProgressLines

if TYPE_CHECKING:
    from ptsys.client import Client


@contextlib.contextmanager
def row_progress(
    what: str, total: int, client: Client, model: str
) -> Iterator[Callable[[int], None]]:
    """Call what it gives with the number of rows that are done more. What a worker of the model
    compiles meanwhile is told."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("rows"),
        TimeElapsedColumn(),
    )
    console = messages()
    quiet = not console.is_terminal
    lines = ProgressLines(note, f"{what} rows", total)
    done = 0
    with Progress(*columns, console=console, transient=True, disable=quiet) as bar:
        task = bar.add_task(what, total=total)

        def advance(rows: int) -> None:
            nonlocal done
            done += rows
            bar.advance(task, rows)
            if quiet:
                lines.tell(done)

        with compile_notes(client, [model]):
            yield advance
