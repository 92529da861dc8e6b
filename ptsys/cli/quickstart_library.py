"""The second half of `ptsys quickstart`: sixteen examples, and what the prompt library adds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from ptsys.cli import quickstart_outcomes as outcomes

if TYPE_CHECKING:
    from ptsys.cli.quickstart_tasks import QuickstartTask
    from ptsys.client import Client, JobHandle
    from ptsys.types.records import Job, Prompt

Made = TypeVar("Made")

_STEPS = 60  # of every stage: few rows are soon learned
_WAYS = {  # by the names that `auto` gives its candidates
    "second": "that prompt as it is",
    "query": "the prompt trained alone",
    "written": "to start from what the model wrote of the rows, and train alone",
    "initialization": "to start from it",
    "curriculum": "to train on its rows, then on the few",
    "multitask": "to train on its rows and the few, mixed",
}


@dataclasses.dataclass(frozen=True)
class Lift:
    """Shares of the test rows that dan's prompts answer exactly: tuned on his rows alone, and
    lifted by the library; `found` are the second prompts, nearest first, as (name, similarity)."""

    user: str
    title: str
    examples: int
    prompt: str
    plain: float
    lifted: float
    candidate: str
    found: tuple[tuple[str, float], ...]


def share(client: Client, job: Job) -> None:
    """Let everybody see the prompt that this job made, and what it was trained on."""
    assert job.prompt is not None
    prompt = client.prompts.update(job.prompt, visibility="public")
    if prompt.dataset is not None:
        client.datasets.update(prompt.dataset, visibility="public")


def submit(
    client: Client, task: QuickstartTask, model: str, length: int, steps: int
) -> tuple[JobHandle, JobHandle]:
    """dan's two jobs: his rows alone, and augmentation."""
    steps = min(steps, _STEPS)

    def both(name: str) -> tuple[JobHandle, JobHandle]:
        rows = client.datasets.add(f"{name}-few", task.train)
        shared: dict[str, Any] = {"model": model, "length": length, "steps": steps}
        return client.train(f"{name}-plain", rows, **shared), client.augment(
            name,
            rows,
            query_steps=steps,
            second_steps=steps,
            polish_steps=max(steps // 3, 1),
            neighbours=1,
            **shared,
        )

    return under_free_name(task.name, both)


def under_free_name(name: str, submit: Callable[[str], Made]) -> Made:
    """What `submit` makes of the name, or of the first that no earlier quickstart in the same
    folder has taken. Raises Conflict where there were too many."""
    from ptsys.errors import Conflict

    free = name
    for attempt in range(2, 1000):
        try:
            return submit(free)
        except Conflict:
            free = f"{name}-{attempt}"
    raise Conflict("too many quickstarts ran in this folder; choose another one")


def judge(
    client: Client,
    task: QuickstartTask,
    jobs: Sequence[Job],
    answers: outcomes.Answers,
) -> Lift:
    """What the two prompts are worth; `answers` asks the model under a prompt."""
    from ptsys.data.metrics import exact_match

    targets = [row.target or "" for row in task.test]
    plain, lifted = (exact_match(answers(task, job.prompt), targets) for job in jobs)
    prompt = client.prompts.get(jobs[1].prompt or "")
    return Lift(
        user=task.user,
        title=task.title,
        examples=len(task.train),
        prompt=prompt.id,
        plain=plain,
        lifted=lifted,
        candidate=str(prompt.hyperparameters.get("candidate")),
        found=tuple(_found(client, prompt)),
    )


def _found(client: Client, prompt: Prompt) -> list[tuple[str, float]]:
    seconds = [parent for parent in prompt.parents if parent.role == "second"]
    names = [client.prompts.get(parent.prompt) for parent in seconds]
    return [
        (f"{one.owner}/{one.name}", parent.similarity or 0.0)
        for one, parent in zip(names, seconds, strict=True)
    ]


def plain_data(lift: Lift) -> dict[str, Any]:
    """For JSON."""
    found = [{"prompt": name, "similarity": similarity} for name, similarity in lift.found]
    return dataclasses.asdict(lift) | {"found": found}


def show(lift: Lift) -> None:
    """The closing table of the library's part."""
    from ptsys.cli.output import percent, results

    points = f"{100 * (lift.lifted - lift.plain):+.1f} points"
    outcomes.show_table(
        (f"{lift.examples} examples", "user", "alone", "with the library", "lift"),
        [(lift.title, lift.user, percent(lift.plain), percent(lift.lifted), points)],
    )
    for name, similarity in lift.found:
        results().print(
            f"  the library found [bold]{name}[/] (similarity {similarity:.2f}); best of auto's "
            f"ways was {_WAYS.get(lift.candidate, lift.candidate)}",
            soft_wrap=True,
        )
