"""How far a run is that trains prompts: bars on the terminal, lines elsewhere, and numbers in its
folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ptsys.progress_lines import ProgressLines
from ptsys.runs.prompt_plan import Plan
from ptsys.runs.run_metrics import RunMetrics


class PromptProgress:
    """Two bars, of steps and of prompts, and a line for each prompt that is done.

    The metrics get numbers at each checkpoint and evaluation, and at the end of each prompt.
    """

    def __init__(self, plans: Sequence[Plan], metrics: RunMetrics, console: Console) -> None:
        self._plans = plans
        self._metrics = metrics
        self._console = console
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        self._bars = Progress(*columns, console=console, disable=not console.is_terminal)
        missing = [plan for plan in plans if plan.state == "missing"]
        total = sum(plan.spec.steps for plan in missing if plan.spec is not None)
        self._missing, self._total = len(missing), total
        self._lines: ProgressLines | None = None
        self._loss = ""  # of a run of one prompt
        self._steps = self._bars.add_task("steps", total=total)
        self._done = self._bars.add_task(
            "prompts", total=len(plans), completed=len(plans) - len(missing)
        )

    def __enter__(self) -> PromptProgress:
        self._bars.start()
        for plan in self._plans:
            if plan.state == "failed":
                self._say(f"{plan.name}: {plan.reason}")
        if not self._console.is_terminal and self._missing:
            title = f"steps of {self._missing} prompts" if self._missing > 1 else "steps"
            self._lines = ProgressLines(self._say, title, self._total, at_once=True)
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
        if self._lines is not None:
            shown = {"loss": self._loss} if self._loss else {}
            self._lines.tell(done, **shown)

    def step(self, plan: Plan, step: int, loss: float, gradient_norm: float) -> None:
        """A prompt stands at that step: its loss in nats a token."""
        self._loss = f"{loss:.3f}" if self._missing == 1 else ""
        self._metrics.write(plan.name, step, loss=loss, gradient_norm=gradient_norm)

    def evaluated(self, plan: Plan, step: int, scores: Mapping[str, float]) -> None:
        """A prompt was scored on its way."""
        self._metrics.write(plan.name, step, **scores)

    def ended(self, plan: Plan, step: int) -> None:
        """A prompt is recorded, or has failed."""
        self._bars.advance(self._done)
        if plan.state == "failed":
            self._metrics.write(plan.name, step, failed=plan.reason)
            self._say(f"{plan.name}: {plan.reason}")
            return
        self._metrics.write(plan.name, step, **plan.scores)
        numbers = {**plan.line(), "prompt": None}
        shown = (f"{name} {value:.3f}" for name, value in numbers.items() if value is not None)
        self._say(f"{plan.name}: {', '.join(shown)}")

    def note(self, text: str) -> None:
        """Say something that the run's end will not say."""
        self._say(text)

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)
