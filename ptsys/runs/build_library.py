"""`ptsys run --gin_file=gin/runs/build_library.gin`: prompts for a folder of tasks.

Every task's rows become datasets, and a prompt is tuned on them from the model's shared start, so
that the prompts compare in the library. It works in place, without the queue: one process, one
engine, many residents at once. A deployment that runs on the same data directory is not disturbed.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, ClassVar, Literal

from ptsys.config import Settings
from ptsys.engine.serving import Serving
from ptsys.runs.prompt_run import Trained, trained_prompts
from ptsys.runs.run_folder import write_json
from ptsys.runs.run_plan import plan_lines
from ptsys.runs.tasks.jsonl_task import find_tasks
from ptsys.runs.tuning import check_tuning, deployed, job_options
from ptsys.types.training import TrainingOptions


@dataclasses.dataclass(frozen=True)
class BuildLibrary:
    """A run that fills a library. Only `tasks` must be named.

    `data`, `owner` and `model` are the deployment's own where they are None. `include` and
    `exclude` are patterns of task names; `prefix` stands before the names of datasets and prompts.
    With several `seeds` a task gets a prompt for each, `<task>.seed<n>`. `max_rows` cuts the
    training rows. `licence` is each task's own where it is None; a task's kind is one of the tags.
    `at_once` counts the prompts in the engine at a time, `checkpoint_every` the steps that a
    killed run may lose. `output` is for metrics, checkpoints and the summary.
    """

    tasks: str
    data: str | None = None
    owner: str | None = None
    model: str | None = None
    serving: Serving | None = None
    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    prefix: str = ""
    seeds: tuple[int, ...] = (0,)
    max_rows: int | None = None
    truncate: bool = False
    steps: int = 300
    length: int = 16
    batch_size: int = 16
    optimizer: str = "adafactor"
    learning_rate: float = 0.3
    decay: str = "linear"
    warmup_steps: int = 0
    visibility: Literal["private", "public"] = "public"
    licence: str | None = None
    contact: str | None = None
    tags: tuple[str, ...] = ()
    evaluate_on: tuple[str, ...] = ("validation", "test")
    at_once: int = 64
    checkpoint_every: int = 50
    output: str | None = None
    title: ClassVar[str] = "BuildLibrary"

    def __call__(self, settings: Settings | None = None) -> dict[str, Any]:
        """Train what is not recorded yet, or go on where an earlier run was stopped.

        Returns a summary, whose `failed` names the tasks that could not be done and why. Raises
        InvalidInput for what cannot be asked, NotFound for a model that is not there, Conflict if
        another run works in the same output.
        """
        check_tuning(self)
        config, settings, output = deployed(self, settings or Settings(), "build_library")
        tasks = find_tasks(Path(self.tasks).expanduser(), self.include, self.exclude)
        with trained_prompts(config, tasks, settings, output, strict=False) as trained:
            summary = summarize(trained)
            summary |= {"output": str(output), "seconds": trained.seconds}
            write_json(output / "summary.json", summary)
        return summary

    def plan(self, settings: Settings) -> dict[str, Any]:
        """What it would do: its tasks with their rows, and where its results would lie."""
        check_tuning(self)
        config, settings, output = deployed(self, settings, "build_library")
        tasks = find_tasks(Path(self.tasks).expanduser(), self.include, self.exclude)
        return {
            **plan_lines(tasks, self.seeds),
            "model": config.model,
            "steps": self.steps,
            "output": str(output),
        }

    def options(self, name: str, seed: int) -> TrainingOptions:
        """What is asked for one prompt. Raises InvalidInput naming the field that is wrong."""
        at_the_end = max(1, self.steps)
        return job_options(
            TrainingOptions, self, name=name, seed=seed, tags=(), evaluate_every=at_the_end
        )


def summarize(trained: Trained) -> dict[str, Any]:
    """What a run reached: a line a prompt, the means, and what failed."""
    done = [plan for plan in trained.plans if plan.state in ("trained", "recorded")]
    with_majority = [plan for plan in done if plan.majority is not None and plan.score is not None]
    told = trained.summary()
    return {
        "model": told.pop("model"),
        "fingerprint": told.pop("fingerprint"),
        "prompts": [plan.line() for plan in done],
        **told,
        "mean_accuracy": _mean([plan.scores.get("accuracy") for plan in done]),
        "mean_test_accuracy": _mean([plan.scores.get("test_accuracy") for plan in done]),
        "mean_majority": _mean([plan.majority for plan in done]),
        "above_majority": sum(plan.above_majority for plan in with_majority),
    }


def _mean(values: list[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return round(sum(numbers) / len(numbers), 4) if numbers else None
