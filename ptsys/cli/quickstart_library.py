"""The second half of `ptsys quickstart`: sixteen examples, and what the prompt library adds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from ptsys.cli.quickstart_tasks import QuickstartTask
    from ptsys.jobs.service import Service
    from ptsys.types.records import Job, Prompt

Made = TypeVar("Made")

_STEPS = 60  # of every stage: few rows are soon learned
_WAYS = {  # by the names that `auto` gives its candidates
    "second": "that prompt as it is",
    "query": "the prompt trained alone",
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


def share(service: Service, jobs: Sequence[Job]) -> None:
    """Let everybody see the prompts that these jobs made, and what they were trained on."""
    for job in jobs:
        assert job.prompt is not None
        prompt = service.prompts.update(job.prompt, job.owner, visibility="public")
        if prompt.dataset is not None:
            service.datasets.share(prompt.dataset, job.owner, visibility="public")


def submit(
    service: Service, task: QuickstartTask, model: str, length: int, steps: int
) -> tuple[Job, Job]:
    """dan's two jobs: his rows alone, and augmentation."""
    from ptsys.types.augmentation import AugmentSpec
    from ptsys.types.training import TrainingSpec

    steps = min(steps, _STEPS)

    def both(name: str) -> tuple[Job, Job]:
        rows = service.datasets.add(f"{name}-few", task.user, task.train).id
        shared: dict[str, Any] = {"model": model, "dataset": rows, "length": length}
        plain = TrainingSpec(name=f"{name}-plain", steps=steps, **shared)
        augmented = AugmentSpec(
            name=name,
            strategy="auto",
            query_steps=steps,
            second_steps=steps,
            steps=steps,
            polish_steps=max(steps // 3, 1),
            neighbours=1,
            **shared,
        )
        return service.submit(plain, task.user), service.submit(augmented, task.user)

    return under_free_name(service, task.name, both)


def under_free_name(service: Service, name: str, submit: Callable[[str], Made]) -> Made:
    """What `submit` makes of the name, or of the first that no earlier quickstart in the same
    folder has taken. Raises Conflict where there were too many."""
    from ptsys.errors import Conflict

    free = name
    for attempt in range(2, 1000):
        try:
            return submit(free)
        except Conflict:
            free = f"{name}-{attempt}"
    raise Conflict(f"too many quickstarts ran in {service.settings.root}; choose another folder")


def judge(
    service: Service,
    task: QuickstartTask,
    jobs: Sequence[Job],
    answers: Callable[[QuickstartTask, str | None], list[str]],
) -> Lift:
    """What the two prompts are worth; `answers` asks the model under a prompt."""
    from ptsys.data.metrics import exact_match

    targets = [row.target or "" for row in task.test]
    plain, lifted = (exact_match(answers(task, job.prompt), targets) for job in jobs)
    prompt = service.prompts.get(jobs[1].prompt or "", task.user)
    return Lift(
        user=task.user,
        title=task.title,
        examples=len(task.train),
        prompt=prompt.id,
        plain=plain,
        lifted=lifted,
        candidate=str(prompt.hyperparameters.get("candidate")),
        found=tuple(_found(service, prompt, task.user)),
    )


def _found(service: Service, prompt: Prompt, user: str) -> list[tuple[str, float]]:
    seconds = [parent for parent in prompt.parents if parent.role == "second"]
    names = [service.prompts.get(parent.prompt, user) for parent in seconds]
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
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from ptsys.cli.output import percent, results

    console = results()
    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column in (f"{lift.examples} examples", "user"):
        table.add_column(column)
    for column in ("alone", "with the library", "lift"):
        table.add_column(column, justify="right")
    points = f"{100 * (lift.lifted - lift.plain):+.1f} points"
    table.add_row(lift.title, lift.user, percent(lift.plain), percent(lift.lifted), points)
    console.print(table)
    for name, similarity in lift.found:
        console.print(
            f"  the library found [bold]{name}[/] (similarity {similarity:.2f}); best of auto's "
            f"ways was {_WAYS.get(lift.candidate, lift.candidate)}",
            soft_wrap=True,
        )
