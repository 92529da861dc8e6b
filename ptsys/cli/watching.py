"""Training jobs as they learn: a bar each, side by side, or plain lines where no terminal is."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from ptsys.cli.compile_notes import compile_notes
from ptsys.cli.output import messages

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from ptsys.client import Client, JobHandle
    from ptsys.types.records import Job

_POLL, _IDLE_POLL = 0.15, 0.5  # seconds between two looks at a job that runs, and one that waits
_SPEED_WINDOW = 10.0  # seconds over which rows a second are counted
_LINE_EVERY = 5.0  # seconds between two plain lines of progress


@dataclasses.dataclass
class Watched:
    """A job under watch: what is shown of it."""

    handle: JobHandle
    title: str
    after: int = 0
    loss: float | None = None
    score: float | None = None
    marks: list[tuple[float, int]] = dataclasses.field(default_factory=list)

    @property
    def job(self) -> Job:
        """The job as it was last seen."""
        return self.handle.record

    def look(self) -> None:
        """Take in the job's new state; once it has ended, that is for good."""
        if self.job.state.final and self.after:
            return
        job = self.handle.refresh()  # first: no event follows the final one
        for event in self.handle.history(after=self.after):
            self.after = event.sequence
            if event.kind == "evaluation":
                self.score = _number(event.data, "accuracy", self.score)
        self.loss = _number(job.metrics, "loss", self.loss)
        self.score = _number(job.metrics, "accuracy", self.score)
        now = time.monotonic()
        if job.step and (not self.marks or self.marks[-1][1] != job.step):
            self.marks = [mark for mark in self.marks if now - mark[0] <= _SPEED_WINDOW]
            self.marks.append((now, job.step))

    @property
    def rows_a_second(self) -> float | None:
        """Over the last seconds in which it moved; None until it has."""
        if len(self.marks) < 2 or self.job.spec.kind == "write":
            return None
        (since, first), (now, last) = self.marks[0], self.marks[-1]
        return (last - first) * self.job.spec.batch_size / max(now - since, 1e-6)

    @property
    def state(self) -> str:
        """In a word or two."""
        if self.job.state != "running":
            return str(self.job.state)
        if not self.job.step:
            return "compiling"
        tuned, prompts = map(self.job.metrics.get, ("prompts_tuned", "prompts_to_tune"))
        if tuned is not None and prompts is not None:  # that a meta-prompt will learn from
            return f"{tuned:.0f} of {prompts:.0f} prompts tuned"
        left = self.job.metrics.get("seconds_left")
        if left is not None:
            return f"{left:.0f} s left"
        return "running" if self.job.step < self.job.planned_steps else "scoring"


class Screen(Protocol):
    """Shows watched jobs."""

    def show(self, watched: Sequence[Watched]) -> None:
        """Show how they stand now."""


def watch(
    client: Client, watched: Sequence[Watched], between: Callable[[], object] = lambda: None
) -> list[Job]:
    """Show the jobs until all have ended, in whatever state, and what is compiled for them;
    `between` is called now and then."""
    models = {one.job.spec.model for one in watched}
    with _screen(watched) as screen, compile_notes(client, models):
        while True:
            for one in watched:
                one.look()
            screen.show(watched)
            if all(one.job.state.final for one in watched):
                return [one.job for one in watched]
            between()
            runs = any(one.job.state == "running" for one in watched)
            time.sleep(_POLL if runs else _IDLE_POLL)


@contextlib.contextmanager
def _screen(watched: Sequence[Watched]) -> Iterator[Screen]:
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

    console = messages()
    if not console.is_terminal:
        yield Lines()
        return
    columns = (
        SpinnerColumn(finished_text="[green]✓[/green]"),
        TextColumn("{task.description}"),
        TextColumn("[dim]{task.fields[state]:<9}[/dim]"),
        BarColumn(bar_width=20),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TextColumn("loss {task.fields[loss]:>6}"),
        TextColumn("validation {task.fields[score]:>6}"),
        TextColumn("{task.fields[speed]:>4} rows/s"),
    )
    with Progress(*columns, console=console) as progress:
        yield Bars(progress, watched)


class Bars:
    """One bar a job."""

    def __init__(self, progress: Progress, watched: Sequence[Watched]) -> None:
        self._progress = progress
        self._tasks: list[TaskID] = [
            progress.add_task(one.title, total=one.job.planned_steps, **_shown(one))
            for one in watched
        ]

    def show(self, watched: Sequence[Watched]) -> None:
        """Move the bars."""
        for task, one in zip(self._tasks, watched, strict=True):
            total = one.job.planned_steps
            self._progress.update(task, completed=one.job.step, total=total, **_shown(one))
            if one.job.state.final:
                self._progress.stop_task(task)


class Lines:
    """A line whenever a job changes its state or its score, and every few seconds."""

    def __init__(self) -> None:
        self._said: dict[str, tuple[str, float | None]] = {}
        self._when: dict[str, float] = {}

    def show(self, watched: Sequence[Watched]) -> None:
        """Say what is new."""
        now = time.monotonic()
        for one in watched:
            key, new = one.job.id, (one.state, one.score)
            moved = one.state == "running" and now - self._when.get(key, 0) > _LINE_EVERY
            if self._said.get(key) == new and not moved:
                continue
            self._said[key], self._when[key] = new, now
            shown = _shown(one)
            text = f"{one.title}: {shown['state']}, step {one.job.step}/{one.job.planned_steps}"
            for name, field in (("loss", "loss"), ("validation", "score"), ("rows/s", "speed")):
                text += f", {name} {shown[field]}" if shown[field] != "-" else ""
            messages().print(text, markup=False, soft_wrap=True)


def _shown(one: Watched) -> dict[str, Any]:
    speed = one.rows_a_second
    return {
        "state": one.state,
        "loss": "-" if one.loss is None else f"{one.loss:.3f}",
        "score": "-" if one.score is None else f"{100 * one.score:.1f}%",
        "speed": "-" if speed is None else f"{speed:.0f}",
    }


def _number(values: Mapping[str, Any], key: str, otherwise: float | None) -> float | None:
    found = values.get(key)
    return float(found) if isinstance(found, int | float) else otherwise
