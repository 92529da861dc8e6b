"""`ptsys bench scaling`: how the time and the memory of a training step grow.

From one middle point every axis is walked alone: users (with the rows kept, dealt to more of
them), rows, prompt length, input length and layers. The ideal line is what the work asks for:
flat for users, in proportion for the rest (for prompt and input, to the positions of a row). The
growth leaves it where a doubling costs a quarter more than that. Weights are random: time does
not depend on them.
"""

from __future__ import annotations

import dataclasses
import json as json_module
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from ptsys.kinds.batch import Rows
from ptsys.models.t5.config import T5Config
from ptsys.models.t5.network import create
from ptsys.passes.frozen import freeze
from ptsys.passes.optimizers import hyperparameters, initial_state
from ptsys.passes.train import train_step
from ptsys.types.training import Optimizer

Axis = Literal["users", "rows", "prompt", "input", "layers"]
AXES: dict[Axis, tuple[int, ...]] = {
    "users": (1, 2, 4, 8, 16, 32, 64),
    "rows": (8, 16, 32, 64, 128, 256),
    "prompt": (4, 16, 64, 128, 256, 512),
    "input": (16, 32, 64, 128, 256, 512),
    "layers": (1, 2, 4, 8),
}
SLACK = 1.25  # a doubling that costs more than this times the ideal leaves the line


@dataclasses.dataclass(frozen=True)
class Point:
    """What one step is of."""

    users: int = 8
    rows: int = 32
    prompt: int = 16
    input: int = 32
    layers: int = 2
    target: int = 8

    @property
    def work(self) -> float:
        """What the ideal line is in proportion to: positions times layers."""
        return float(self.rows * (self.prompt + self.input) * self.layers)


@dataclasses.dataclass(frozen=True)
class Measured:
    """One point of an axis: median milliseconds a step, megabytes of temporaries (activations)
    and of what is kept a user (prompts, optimizer slots); `over_ideal` is the growth of the time
    since the axis' last point over the ideal growth."""

    axis: Axis
    value: int
    ms: float
    temporary_mb: float
    slots_mb: float
    over_ideal: float | None

    @property
    def leaves(self) -> bool:
        """The growth to this point left the ideal line."""
        return self.over_ideal is not None and self.over_ideal > SLACK


def config(layers: int, width: int) -> T5Config:
    """T5 1.1's proportions at a width."""
    return T5Config(
        vocab_size=3072,
        d_model=width,
        num_heads=max(width // 32, 1),
        head_dim=32,
        d_ff=3 * width,
        encoder_layers=layers,
        decoder_layers=layers,
    )


def step_of(point: Point, width: int) -> tuple[Callable[[], None], Any]:
    """A compiled step of a point as something to call, and its memory analysis."""
    random = np.random.default_rng(0)
    frozen = freeze(create(config(point.layers, width)))
    prompts = jnp.asarray(random.normal(size=(point.users, point.prompt, width)), jnp.float32)
    state = initial_state(prompts, jnp.full((point.users,), point.prompt, jnp.int32))
    hyper = hyperparameters([Optimizer()] * point.users, [1000] * point.users)
    everyone = np.arange(point.users, dtype=np.int32)
    arrays: Any = (
        random.integers(2, 3000, (point.rows, point.input)).astype(np.int32),
        random.integers(2, 3000, (point.rows, point.target)).astype(np.int32),
        np.arange(point.rows, dtype=np.int32) * point.users // point.rows,
    )
    rows = Rows(*arrays)
    compiled = train_step.lower(frozen, state, hyper, everyone, rows).compile()
    held = {"state": state}

    def run() -> None:
        held["state"], metrics = compiled(frozen, held["state"], hyper, everyone, rows)
        jax.block_until_ready(metrics)

    return run, compiled.memory_analysis()


def timed(run: Callable[[], None], turns: int) -> float:
    """Median milliseconds."""
    run()
    times = []
    for _ in range(turns):
        start = time.perf_counter()
        run()
        times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times)


def walk(axis: Axis, width: int, turns: int, told: Callable[[], None]) -> list[Measured]:
    """Measure an axis, each point against the one before it."""
    found: list[Measured] = []
    last: tuple[Point, float] | None = None
    for value in AXES[axis]:
        point = dataclasses.replace(Point(), **{axis: value})
        if axis == "users":
            point = dataclasses.replace(point, rows=max(AXES["users"]))
        run, memory = step_of(point, width)
        ms = timed(run, turns)
        over = None if last is None else ms / last[1] / (point.work / last[0].work)
        slots = 3 * 4 * point.users * point.prompt * width
        temporary = memory.temp_size_in_bytes
        found.append(Measured(axis, value, ms, temporary / 1e6, slots / 1e6, over))
        last = (point, ms)
        told()
    return found


def main(axes: list[Axis], width: int, turns: int, json: bool) -> None:
    """Measure and print a table, or one JSON list."""
    total = sum(len(AXES[axis]) for axis in axes)
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("steps", total=total)
        walks = [walk(axis, width, turns, lambda: progress.advance(task)) for axis in axes]
    if json:
        everything = [
            {**dataclasses.asdict(point), "leaves": point.leaves}
            for part in walks
            for point in part
        ]
        json_module.dump(everything, sys.stdout)
        sys.stdout.write("\n")
        return
    console = Console()
    for part in walks:
        table = Table(title=f"growth with {part[0].axis} (d_model {width})")
        for heading in (part[0].axis, "step ms", "activations MB", "slots MB", "over the ideal"):
            table.add_column(heading, justify="right")
        for point in part:
            over = "" if point.over_ideal is None else f"{point.over_ideal:.2f}"
            table.add_row(
                str(point.value),
                f"{point.ms:.1f}",
                f"{point.temporary_mb:.1f}",
                f"{point.slots_mb:.2f}",
                f"{over} <- leaves the line" if point.leaves else over,
            )
        console.print(table)
    left = [f"{point.axis} at {point.value}" for part in walks for point in part if point.leaves]
    console.print("leaves the ideal line: " + (", ".join(left) or "nowhere"))
