"""A training job's progress bar, on a terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

from ptsys.types.records import Event

See = Callable[[Event], None]


@contextlib.contextmanager
def progress_bar(title: str, steps: int, shown: bool | None) -> Iterator[See]:
    """What to hand each event to. None shows the bar where standard error is a terminal."""
    if not (sys.stderr.isatty() if shown is None else shown):
        yield lambda event: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}"),
        TextColumn("[dim]{task.fields[state]:<9}[/dim]"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]}"),
        TextColumn("validation {task.fields[score]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(title, total=steps, state="queued", loss="-", score="-")

        def see(event: Event) -> None:
            data = event.data
            if event.kind == "state":
                progress.update(task, state=str(data.get("state", "-")))
            elif event.kind == "progress":
                loss = data.get("loss")
                progress.update(
                    task,
                    completed=float(data.get("step", 0)),
                    total=float(data.get("steps", steps)),
                    loss="-" if loss is None else f"{loss:.4f}",
                )
            elif event.kind == "evaluation" and data.get("accuracy") is not None:
                progress.update(task, score=f"{data['accuracy']:.1%}")

        yield see
