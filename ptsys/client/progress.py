"""A training job's progress: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

from ptsys.progress_lines import ProgressLines
from ptsys.types.records import Event

See = Callable[[Event], None]


@contextlib.contextmanager
def progress_bar(title: str, steps: int, shown: bool | None) -> Iterator[See]:
    """What to hand each event to. It shows a bar where standard error is a terminal, and elsewhere
    a line now and then; if `shown` is false, nothing."""
    if shown is False:
        yield lambda event: None
        return
    if not sys.stderr.isatty():
        yield _lines(title, steps)
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


def _lines(title: str, steps: int) -> See:
    """Says each new state, each score, and now and then how far it is."""

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    lines = ProgressLines(say, f"{title}, step", steps)
    scored: dict[str, str] = {}

    def see(event: Event) -> None:
        data = event.data
        if event.kind == "state":
            say(f"{title}: {data.get('state', '-')}")
        elif event.kind == "progress":
            loss = data.get("loss")
            shown = {} if loss is None else {"loss": f"{loss:.4f}"}
            lines.tell(float(data.get("step", 0)), **shown, **scored)
        elif event.kind == "evaluation" and data.get("accuracy") is not None:
            scored["validation"] = f"{data['accuracy']:.1%}"

    return see
