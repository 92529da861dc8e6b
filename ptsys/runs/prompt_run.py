"""A run in place that trains prompts: one process, one engine, many residents at once.

What is recorded already is left alone, and what an earlier run has begun goes on where that was
stopped. A deployment that runs on the same data directory is not disturbed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from ptsys.config import Settings
from ptsys.engine.workbench import Workbench
from ptsys.errors import InvalidInput
from ptsys.jobs.limits import read_limits
from ptsys.runs.model_bench import model_bench
from ptsys.runs.prompt_plan import Plan, Planner
from ptsys.runs.prompt_progress import PromptProgress
from ptsys.runs.prompt_training import PromptTraining
from ptsys.runs.run_folder import CHECKPOINTS, alone_in
from ptsys.runs.run_metrics import RunMetrics
from ptsys.runs.run_plan import tell
from ptsys.runs.stores import Stores, engine_of, opened_stores
from ptsys.runs.tasks.task import Task
from ptsys.runs.tuning import Tuning


@dataclasses.dataclass(frozen=True)
class Trained:
    """What a run has reached, while its folder and the stores are still open."""

    plans: list[Plan]
    bench: Workbench
    stores: Stores
    seconds: float

    def summary(self) -> dict[str, Any]:
        """What every such run says of itself."""
        plans = self.plans
        return {
            "model": self.bench.served.name,
            "fingerprint": self.bench.served.fingerprint,
            "trained": sum(plan.state == "trained" for plan in plans),
            "already_there": sum(plan.state == "recorded" for plan in plans),
            "failed": {plan.name: plan.reason for plan in plans if plan.state == "failed"},
        }


@contextlib.contextmanager
def trained_prompts(
    config: Tuning, tasks: Sequence[Task], settings: Settings, output: Path, *, strict: bool
) -> Iterator[Trained]:
    """Train a prompt for every task and seed that has none yet, and record it.

    A task that cannot be trained on is told in its plan; a `strict` run, which has looked at its
    rows already, raises InvalidInput for it before anything is trained. Raises Conflict if another
    run works in `output`.
    """
    began = time.monotonic()
    bench = model_bench(config.model, config.serving, settings)
    with alone_in(output), opened_stores(settings) as stores, RunMetrics(output) as metrics:
        limits = None if strict else read_limits(settings.root, bench.served.name)
        planner = Planner(config, bench, stores.datasets, stores.prompts, limits)
        plans = [plan for task in tasks for plan in planner.plans(task)]
        tell(planner.notes)
        failed = next((plan for plan in plans if plan.state == "failed"), None)
        if strict and failed is not None:
            raise InvalidInput(f"{failed.name}: {failed.reason}", field="tasks")
        console = Console(stderr=True, highlight=False)
        with PromptProgress(plans, metrics, console) as progress:
            _train(config, bench, stores, settings, output, plans, progress)
        stores.index(bench)
        yield Trained(plans, bench, stores, round(time.monotonic() - began, 1))


def _train(
    config: Tuning,
    bench: Workbench,
    stores: Stores,
    settings: Settings,
    output: Path,
    plans: Sequence[Plan],
    progress: PromptProgress,
) -> None:
    missing = [plan for plan in plans if plan.state == "missing"]
    if not missing:
        return
    with engine_of(bench, settings, config.at_once) as engine:
        PromptTraining(config, bench, engine, stores, output / CHECKPOINTS, progress).run(missing)
