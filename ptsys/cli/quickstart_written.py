"""The end of `ptsys quickstart`: five examples, and a prompt that the model writes from them in one
pass, nothing tuned."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ptsys.cli import quickstart_library

if TYPE_CHECKING:
    from ptsys.cli.quickstart_tasks import QuickstartTask
    from ptsys.client import Client
    from ptsys.types.records import Prompt


@dataclasses.dataclass(frozen=True)
class Written:
    """Shares of the test rows answered exactly: by the commonest of the few answers, the bare
    model, and the prompt that was written."""

    user: str
    title: str
    examples: int
    prompt: str
    majority: float
    zero_shot: float
    written: float
    fresh: tuple[tuple[str, str, str], ...]


def can_write(client: Client, model: str) -> bool:
    """Whether a meta-prompt comes with the model."""
    return any(one.owner is None for one in client.meta_prompts.list(model))


def write(client: Client, task: QuickstartTask, model: str) -> Prompt:
    """Her prompt."""
    return quickstart_library.under_free_name(
        task.name,
        lambda name: client.meta_prompts.generate(
            task.train, model=model, aggregate="mean", name=name
        ),
    )


def judge(
    task: QuickstartTask,
    prompt: Prompt,
    answers: Callable[[QuickstartTask, str | None], list[str]],
) -> Written:
    """What it is worth; `answers` asks the model under a prompt."""
    from ptsys.data.metrics import exact_match, majority

    targets = [row.target or "" for row in task.test]
    found, bare = answers(task, prompt.id), answers(task, None)
    _, commonest = majority([row.target or "" for row in task.train], targets)
    return Written(
        user=task.user,
        title=task.title,
        examples=len(task.train),
        prompt=prompt.id,
        majority=commonest,
        zero_shot=exact_match(bare[: len(targets)], targets),
        written=exact_match(found[: len(targets)], targets),
        fresh=tuple(
            (row.input, row.target or "", answer)
            for row, answer in zip(task.fresh, found[len(targets) :], strict=True)
        ),
    )


def plain_data(written: Written | None) -> dict[str, Any] | None:
    """For JSON."""
    if written is None:
        return None
    names = ("input", "target", "prediction")
    fresh = [dict(zip(names, one, strict=True)) for one in written.fresh]
    return dataclasses.asdict(written) | {"fresh": fresh}


def show(written: Written) -> None:
    """The closing table of this part."""
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    from ptsys.cli.output import percent, results

    console = results()
    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column in (f"{written.examples} examples, one pass", "user"):
        table.add_column(column)
    for column in ("majority", "zero-shot", "written"):
        table.add_column(column, justify="right")
    best = written.written > max(written.majority, written.zero_shot)
    shown = f"[bold green]{percent(written.written)}[/]" if best else percent(written.written)
    numbers = (percent(written.majority), percent(written.zero_shot), shown)
    table.add_row(written.title, written.user, *numbers)
    console.print(table)
    for source, wanted, answer in written.fresh:
        mark = "[green]✓[/]" if answer == wanted else f"[red]✗[/] (wanted {escape(wanted)})"
        console.print(
            f"  {written.user}: {escape(source)} → [bold]{escape(answer)}[/] {mark}", soft_wrap=True
        )
