"""The end of `ptsys quickstart`: five examples, and a prompt that the model writes from them in one
pass, nothing tuned."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from ptsys.cli import quickstart_library
from ptsys.cli import quickstart_outcomes as outcomes
from ptsys.cli.output import percent

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
    fresh: outcomes.Fresh


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


def judge(task: QuickstartTask, prompt: Prompt, answers: outcomes.Answers) -> Written:
    """What it is worth; `answers` asks the model under a prompt."""
    found = outcomes.judge(task, prompt.id, answers)
    return Written(
        user=task.user,
        title=task.title,
        examples=len(task.train),
        prompt=prompt.id,
        majority=found.majority,
        zero_shot=found.zero_shot,
        written=found.reached,
        fresh=found.fresh,
    )


def plain_data(written: Written | None) -> dict[str, Any] | None:
    """For JSON."""
    if written is None:
        return None
    return dataclasses.asdict(written) | {"fresh": outcomes.plain_fresh(written.fresh)}


def show(written: Written) -> None:
    """The closing table of this part."""
    before = (written.majority, written.zero_shot)
    numbers = (*map(percent, before), outcomes.shown(written.written, *before))
    outcomes.show_table(
        (f"{written.examples} examples, one pass", "user", "majority", "zero-shot", "written"),
        [(written.title, written.user, *numbers)],
    )
    outcomes.show_fresh(written.user, written.fresh)
