"""Several tasks as one: a prompt that learns them all, mixed by rates."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from ptsys.data.mixture_order import MixtureOrder
from ptsys.data.task_mixing import task_shares
from ptsys.engine.trainings import RowOrder
from ptsys.errors import InvalidInput
from ptsys.runs.tasks.task import Part, Task
from ptsys.types.example import Example

Mixing = Literal["equal", "proportional", "temperature", "rates"]
MIXINGS: tuple[Mixing, ...] = ("equal", "proportional", "temperature", "rates")


def mixing_rates(
    tasks: Sequence[Task],
    mixing: str,
    *,
    limit: int | None = None,
    temperature: float = 1.0,
    rates: Mapping[str, float] | None = None,
    field: str = "mixing",
) -> list[float]:
    """How often each task is drawn, next to the others (Raffel et al. 2020, section 3.5.2).

    - equal: all alike.
    - proportional: by training rows, of which a task counts at most `limit`.
    - temperature: the power 1/`temperature` of that; 1 is proportional, and high ones are equal.
    - rates: as `rates` says by the tasks' names, or the tasks' own `rate`.

    Raises InvalidInput for another name, and for a rate that is missing or not positive.
    """
    if mixing not in MIXINGS:
        raise InvalidInput(f"{mixing!r}: choose one of {', '.join(MIXINGS)}", field=field)
    if mixing == "rates":
        return _given(tasks, rates or {}, field)
    if mixing == "equal":
        return [1.0] * len(tasks)
    if (limit is not None and limit < 1) or temperature <= 0:
        raise InvalidInput("the limit is at least 1 row, the temperature above 0", field=field)
    sizes = [len(task.rows("train")) for task in tasks]
    shares = task_shares(sizes, "size", size_limit=limit)
    power = shares ** (1 / temperature if mixing == "temperature" else 1.0)
    return [float(share) for share in power / np.sum(power)]


def _given(tasks: Sequence[Task], rates: Mapping[str, float], field: str) -> list[float]:
    titles = {task.title for task in tasks}
    for name in rates:
        if name not in titles:
            raise InvalidInput(f"there is a rate for {name!r}, but no such task", field=field)
    found = []
    for task in tasks:
        rate = rates.get(task.title, task.rate)
        if rate is None or not rate > 0:
            raise InvalidInput(
                f"task {task.title!r} has the rate {rate}; give each task one above 0, such as "
                f"rates = {{{task.title!r}: 1.0}}",
                field=field,
            )
        found.append(float(rate))
    return found


@dataclasses.dataclass(frozen=True)
class TaskMixture:
    """Tasks that one prompt learns together; see `mixing_rates` for the rates' names.

    `tasks` are as in `ptsys.runs.tasks.task_list`, which resolves them. It is scored on all rows
    of its tasks: `<metric>/<task>` for each, and the mean of each metric over the tasks that
    have it.
    """

    name: str
    tasks: tuple[Task, ...]
    mixing: Mixing = "proportional"
    limit: int | None = None
    temperature: float = 1.0
    rates: Mapping[str, float] | None = None
    rate: float | None = None
    description: str | None = None
    licence: str | None = None
    kind: str | None = None

    @property
    def title(self) -> str:
        """What it is called."""
        return self.name

    @property
    def metric(self) -> str:
        """The first task's."""
        return self.tasks[0].metric

    def task_rates(self) -> dict[str, float]:
        """Each task's rate, by its name. Raises InvalidInput as `mixing_rates` does."""
        found = mixing_rates(
            self.tasks,
            self.mixing,
            limit=self.limit,
            temperature=self.temperature,
            rates=self.rates,
            field="TaskMixture.mixing",
        )
        return dict(zip((task.title for task in self.tasks), found, strict=True))

    def rows(self, part: Part) -> list[Example]:
        """The tasks' rows, one task after another."""
        return [row for task in self.tasks for row in task.rows(part)]

    def score(self, part: Part, predictions: Sequence[str]) -> dict[str, float]:
        """The tasks' scores and their means."""
        found: dict[str, dict[str, float]] = {}
        start = 0
        for task in self.tasks:
            count = len(task.rows(part))
            if count:
                found[task.title] = task.score(part, predictions[start : start + count])
            start += count
        kinds = list(dict.fromkeys(kind for scores in found.values() for kind in scores))
        means = {kind: _mean([x[kind] for x in found.values() if kind in x]) for kind in kinds}
        own = {f"{kind}/{name}": x for name, scores in found.items() for kind, x in scores.items()}
        return means | own

    def order(self, batch_size: int, seed: int) -> RowOrder | None:
        """Drawn by the rates."""
        sizes = tuple(len(task.rows("train")) for task in self.tasks)
        return MixtureOrder(sizes, tuple(self.task_rates().values()), batch_size, seed)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
