"""`ptsys bench residents`: many users' prompts trained together and one after another.

Both ways run in one process on the same engine, in turn, with every shape compiled before the
clock starts, so the ratio is that of the steps alone. A late joiner's cost is the time of the
step it joins in, against the steps around it.
"""

from __future__ import annotations

import dataclasses
import json as json_module
import statistics
import sys
import time
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from ptsys.engine.engine import Engine, EngineOptions
from ptsys.engine.model import ServedModel, serve
from ptsys.engine.trainings import Failed, Finished, Snapshot, Training, TrainingTask
from ptsys.errors import InvalidInput, JobFailed
from ptsys.models.registry import load_builtin
from ptsys.sharding.mesh import use_every_core
from ptsys.types.example import Example
from ptsys.types.training import TrainingSpec

WORDS = [
    "red",
    "green",
    "blue",
    "small",
    "large",
    "old",
    "new",
    "warm",
    "cold",
    "fast",
    "slow",
    "dark",
    "light",
    "near",
    "far",
]


@dataclasses.dataclass(frozen=True)
class ResidentsResult:
    """Examples a second, together and one after another, for a number of users; `ratio` is how
    many times faster together."""

    users: int
    batch_size: int
    steps: int
    together: float
    one_after_another: float
    ratio: float
    late_joiner_ms: float
    step_ms: float


def rows(user: int) -> list[Example]:
    """Sixty-four short rows of one user's own small task."""
    count = len(WORDS)
    return [
        Example(
            input=f"{WORDS[i % count]}, {WORDS[(i * 3 + user) % count]}, {WORDS[(i * 7) % count]}",
            target=WORDS[(i * 3 + user) % count],
        )
        for i in range(64)
    ]


def start(engine: Engine, user: int, steps: int, batch_size: int) -> Training:
    """One user's job joins."""
    spec = TrainingSpec(
        name=f"user{user}",
        dataset="rows",
        steps=steps,
        batch_size=batch_size,
        seed=user,
        checkpoint_every=1_000_000,
    )
    model = engine.model
    if model.initialization is None:
        raise InvalidInput(f"model {model.name} has no shared initialization", field="model")
    prompt = model.initialization[-spec.length :]
    task = TrainingTask(
        f"user{user}", f"user{user}", spec, engine.encode(spec, rows(user)), Snapshot.start(prompt)
    )
    return engine.train(task)


def finish(trainings: Sequence[Training]) -> None:
    """Wait for all; raises JobFailed if one fails."""
    for training in trainings:
        event = training.events.get()
        while not isinstance(event, Finished):
            if isinstance(event, Failed):
                raise JobFailed(event.message)
            event = training.events.get()


def examples_per_second(engine: Engine, users: int, steps: int, batch: int, at_once: int) -> float:
    """Train all users, `at_once` at a time; the clock covers joining to the last prompt."""
    since = time.perf_counter()
    for first in range(0, users, at_once):
        group = range(first, min(users, first + at_once))
        finish([start(engine, user, steps, batch) for user in group])
    return users * steps * batch / (time.perf_counter() - since)


def late_joiner(engine: Engine, users: int, steps: int, batch: int) -> tuple[float, float]:
    """Milliseconds of the slowest step around a join, and of the median step before it."""
    crowd = [start(engine, user, 4 * steps, batch) for user in range(max(users - 1, 1))]
    times, at, seen = [], time.perf_counter(), 0
    joined: Training | None = None
    while crowd[0].progress.step < 4 * steps:
        step = crowd[0].progress.step
        if step > seen:
            now = time.perf_counter()
            times.append((step, (now - at) * 1000 / (step - seen)))
            at, seen = now, step
            if joined is None and step >= 2 * steps:
                joined = start(engine, users, steps, batch)
        time.sleep(0.0005)
    finish(crowd)
    if joined is not None:
        finish([joined])
    before = statistics.median(ms for step, ms in times if steps // 2 <= step <= 2 * steps)
    around = max(ms for step, ms in times if 2 * steps < step <= 2 * steps + 3)
    return around, before


def residents(
    model: ServedModel,
    users: Sequence[int],
    *,
    steps: int = 20,
    batch_size: int = 8,
    repeats: int = 5,
) -> list[ResidentsResult]:
    """The benchmark, for each number of users: medians of `repeats` turns, each of both ways one
    right after the other, so that the ratio stands though the machine's own speed changes."""
    results = []
    for count in users:
        engine = Engine(model, EngineOptions(max_residents=max(count, 1))).start()
        try:
            for at_once in (count, 1):  # compile every shape first
                examples_per_second(engine, count, 2, batch_size, at_once)
            together, alone = [], []
            for _ in range(repeats):
                together.append(examples_per_second(engine, count, steps, batch_size, count))
                alone.append(examples_per_second(engine, count, steps, batch_size, 1))
            late, step = late_joiner(engine, count, steps, batch_size)
        finally:
            engine.close()
        ratio = statistics.median(x / y for x, y in zip(together, alone, strict=True))
        speeds = statistics.median(together), statistics.median(alone)
        results.append(ResidentsResult(count, batch_size, steps, *speeds, ratio, late, step))
    return results


def main(users: Sequence[int], steps: int, json: bool) -> None:
    """Measure the built-in model and print a table, or one JSON list."""
    use_every_core()
    results = residents(serve(load_builtin("tiny")), users, steps=steps)
    if json:
        json_module.dump([dataclasses.asdict(result) for result in results], sys.stdout)
        sys.stdout.write("\n")
        return
    table = Table(title=f"residents: batch {results[0].batch_size} a user, {steps} steps")
    for heading in (
        "users",
        "together, examples/s",
        "one after another",
        "ratio",
        "step ms",
        "step a joiner joins, ms",
    ):
        table.add_column(heading, justify="right")
    for r in results:
        table.add_row(
            str(r.users),
            f"{r.together:.0f}",
            f"{r.one_after_another:.0f}",
            f"{r.ratio:.2f}",
            f"{r.step_ms:.1f}",
            f"{r.late_joiner_ms:.1f}",
        )
    Console().print(table)
