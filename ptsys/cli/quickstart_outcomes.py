"""What prompts of `ptsys quickstart` are worth, and how that is shown."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ptsys.cli.quickstart_tasks import QuickstartTask

Answers = Callable[["QuickstartTask", str | None], list[str]]
"""Asks the model a task's test rows and fresh inputs under a prompt, or bare."""

Fresh = tuple[tuple[str, str, str], ...]
"""Answers to fresh inputs: input, wanted, answer."""


@dataclasses.dataclass(frozen=True)
class Judged:
    """Shares of the test rows answered exactly: by the commonest answer, the bare model, and the
    prompt; and its answers to fresh inputs."""

    majority: float
    zero_shot: float
    reached: float
    fresh: Fresh


def judge(task: QuickstartTask, prompt: str | None, answers: Answers) -> Judged:
    """What a task's prompt is worth."""
    from ptsys.data.metrics import exact_match, majority

    targets = [row.target or "" for row in task.test]
    found, bare = answers(task, prompt), answers(task, None)
    _, commonest = majority([row.target or "" for row in task.train], targets)
    fresh = zip(task.fresh, found[len(targets) :], strict=True)
    return Judged(
        majority=commonest,
        zero_shot=exact_match(bare[: len(targets)], targets),
        reached=exact_match(found[: len(targets)], targets),
        fresh=tuple((row.input, row.target or "", answer) for row, answer in fresh),
    )


def plain_fresh(fresh: Fresh) -> list[dict[str, Any]]:
    """For JSON."""
    names = ("input", "target", "prediction")
    return [dict(zip(names, one, strict=True)) for one in fresh]


def shown(reached: float, *others: float) -> str:
    """A share, that stands out where it is better than the others."""
    from ptsys.cli.output import percent

    return f"[bold green]{percent(reached)}[/]" if reached > max(others) else percent(reached)


def show_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Two columns of words, then numbers."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from ptsys.cli.output import results

    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number < 2 else "right")
    for row in rows:
        table.add_row(*row)
    results().print(table)


def show_fresh(user: str, fresh: Fresh) -> None:
    """A line an input."""
    from rich.markup import escape

    from ptsys.cli.output import results

    for source, wanted, answer in fresh:
        mark = "[green]✓[/]" if answer == wanted else f"[red]✗[/] (wanted {escape(wanted)})"
        line = f"  {user}: {escape(source)} → [bold]{escape(answer)}[/] {mark}"
        results().print(line, soft_wrap=True)
