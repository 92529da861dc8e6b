"""How far a library run is: bars on the terminal, and lines of JSON in its folder."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ptsys.runs.library_plan import Plan
from ptsys.store.clock import utc_now


class LibraryProgress:
    """Two bars, of steps and of prompts, and a line for each prompt that is done.

    `metrics.jsonl` gets a line at each checkpoint and at the end of each prompt: names and
    numbers, never rows.
    """

    def __init__(self, plans: Sequence[Plan], metrics: Path, console: Console) -> None:
        self._plans = plans
        self._metrics = metrics
        self._console = console
        self._began = utc_now()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        self._bars = Progress(*columns, console=console, disable=not console.is_terminal)
        missing = [plan for plan in plans if plan.state == "missing"]
        total = sum(plan.spec.steps for plan in missing if plan.spec is not None)
        self._steps = self._bars.add_task("steps", total=total)
        self._done = self._bars.add_task(
            "prompts", total=len(plans), completed=len(plans) - len(missing)
        )

    def __enter__(self) -> LibraryProgress:
        self._bars.start()
        for plan in self._plans:
            if plan.state == "failed":
                self._say(f"{plan.name}: {plan.reason}")
        there = sum(plan.state == "recorded" for plan in self._plans)
        if there:
            self._say(f"{there} prompts are recorded already")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def steps(self, done: int) -> None:
        """So many steps are done, of all prompts together."""
        self._bars.update(self._steps, completed=done)

    def step(self, plan: Plan, step: int, loss: float, gradient_norm: float) -> None:
        """A prompt stands at that step: its loss in nats a token."""
        self._write(plan, step=step, loss=loss, gradient_norm=gradient_norm)

    def ended(self, plan: Plan, step: int) -> None:
        """A prompt is recorded, or has failed."""
        self._bars.advance(self._done)
        if plan.state == "failed":
            self._write(plan, step=step, failed=plan.reason)
            self._say(f"{plan.name}: {plan.reason}")
            return
        self._write(plan, step=step, **plan.scores)
        numbers = {**plan.line(), "prompt": None}
        told = (f"{name} {value:.3f}" for name, value in numbers.items() if value is not None)
        self._say(f"{plan.name}: {', '.join(told)}")

    def note(self, text: str) -> None:
        """Say something that the run's end will not say."""
        self._say(text)

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)

    def _write(self, plan: Plan, **values: Any) -> None:
        finite = {
            name: round(value, 6) if isinstance(value, float) else value
            for name, value in values.items()
            if not isinstance(value, float) or math.isfinite(value)
        }
        seconds = (utc_now() - self._began) / datetime.timedelta(seconds=1)
        line = {"prompt": plan.name, "seconds": round(seconds, 1), **finite}
        with self._metrics.open("a") as file:
            file.write(json.dumps(line) + "\n")
