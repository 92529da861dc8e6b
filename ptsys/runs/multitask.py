"""`ptsys run --gin_file=gin/runs/multitask.gin`: a general prompt, and one for each of many tasks.

The prompts are tuned together (WO2023022727A1, figure 10B; docs/multitask.md), in this process, and
recorded in the deployment's library all at once. `ptsys run … --submit` queues the same as a job.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from ptsys.config import Settings
from ptsys.engine.serving import Serving
from ptsys.jobs.limits import read_limits
from ptsys.runs.model_bench import model_bench
from ptsys.runs.multitask_prompts import MultiTaskPrompts
from ptsys.runs.multitask_training import MultiTaskRunTraining
from ptsys.runs.prompt_plan import registered
from ptsys.runs.run_folder import CHECKPOINTS, alone_in, write_json
from ptsys.runs.run_metrics import RunMetrics
from ptsys.runs.run_plan import check_fits, check_rows, noted, plan_lines, tell
from ptsys.runs.stores import Stores, engine_of, opened_stores
from ptsys.runs.submission import JobRequest, QueuedRows
from ptsys.runs.tasks.task import Task
from ptsys.runs.tasks.task_list import Sources, task_list
from ptsys.runs.tasks.task_mixture import Mixing, TaskMixture, mixing_rates
from ptsys.runs.tuning import check_parts, check_visibility, deployed, job_options
from ptsys.types.input_notes import InputNotes
from ptsys.types.multitask import MultiTaskOptions, MultiTaskSpec, TaskRows


@dataclasses.dataclass(frozen=True)
class MultiTask:
    """A run that tunes a general prompt `name` and `<name>.<task>` for each task. Only these two,
    `tasks` and `name`, must be named; the hyperparameters are those of Lester et al. 2021.

    `mixing`, `size_limit`, `temperature` and `rates` are explained in
    `ptsys.runs.tasks.task_mixture`; where `tasks` is one mixture, its tasks are meant, by its
    rates. `combination` and what belongs to it is explained in docs/multitask.md. The rest is as
    in `PromptTune`.
    """

    tasks: Sources
    name: str
    data: str | None = None
    owner: str | None = None
    model: str | None = None
    serving: Serving | None = None
    prefix: str = ""
    steps: int = 30_000
    length: int = 100
    task_length: int | None = None
    combined_length: int | None = None
    combination: str = "concat"
    affine_learning_rate: float | None = None
    mixing: Mixing = "proportional"
    size_limit: int | None = None
    temperature: float = 1.0
    rates: Mapping[str, float] | None = None
    batch_size: int = 32
    init: str = "labels"
    optimizer: str = "adafactor"
    learning_rate: float = 0.3
    weight_decay: float = 1e-5
    decay: str = "constant"
    warmup_steps: int = 0
    initial_step: int = 0
    max_input_length: int | None = None
    truncate: bool = False
    seed: int = 0
    evaluate_every: int = 1000
    evaluate_on: tuple[str, ...] = ("validation", "test")
    checkpoint_every: int = 100
    visibility: Literal["private", "public"] = "private"
    licence: str | None = None
    contact: str | None = None
    tags: tuple[str, ...] = ()
    output: str | None = None
    title: ClassVar[str] = "MultiTask"

    def __call__(self, settings: Settings | None = None) -> dict[str, Any]:
        """Train the prompts, or go on where an earlier run was stopped; nothing if they are there.

        Returns a summary. Raises InvalidInput for what cannot be asked, NotFound for a model that
        is not there, Conflict for prompts of these names with other settings and if another run
        works in the same output.
        """
        began = time.monotonic()
        config, settings, output, tasks, options, notes = self._checked(settings or Settings())
        tell(notes)
        bench = model_bench(config.model, config.serving, settings)
        with alone_in(output), opened_stores(settings) as stores, RunMetrics(output) as metrics:
            spec = _stored(config, stores, tasks, options)
            prompts = MultiTaskPrompts(config, bench, stores, tasks, spec)
            recorded = prompts.there()
            if recorded is None:
                with engine_of(bench, settings, 1) as engine:
                    training = MultiTaskRunTraining(
                        config, bench, engine, tasks, spec, output / CHECKPOINTS, metrics
                    )
                    made = training.train()
                recorded = prompts.record(made)
                made.forget()
                stores.index(bench)
            summary = prompts.summary(recorded)
            summary |= {"output": str(output), "seconds": round(time.monotonic() - began, 1)}
            write_json(output / "summary.json", summary)
        return summary

    def plan(self, settings: Settings) -> dict[str, Any]:
        """What it would do: its tasks with their rows and shares, its steps, and where results
        would lie."""
        config, settings, output, tasks, options, notes = self._checked(settings)
        lines = plan_lines(tasks)
        rates = _rates(config, tasks)[1]
        for line, rate in zip(lines["tasks"], rates, strict=True):
            line["share"] = round(rate / sum(rates), 4)
        return {
            **lines,
            "prompts": len(options.prompt_names),
            "model": config.model,
            "steps": self.steps,
            "rows_a_step": self.batch_size,
            **noted(notes),
            "output": str(output),
        }

    def jobs(self, settings: Settings) -> list[JobRequest]:
        """The same as one queued job."""
        _, _, _, tasks, options, _ = self._checked(settings)
        rows: dict[tuple[str, str], QueuedRows] = {}
        for task in tasks:
            stem = f"{self.prefix}{task.title}"
            train = QueuedRows(stem, task.rows("train"), task.description)
            rows[task.title, "dataset"] = train
            if scored := self.scored_rows(task):
                rows[task.title, "validation"] = QueuedRows(f"{stem}.validation", scored)
        return [JobRequest(options, rows)]

    def scored_rows(self, task: Task) -> list[Any]:
        """The rows that a task is scored on as it learns."""
        return task.rows("validation") if "validation" in self.evaluate_on else []

    def options(self, tasks: Sequence[Task]) -> MultiTaskOptions:
        """What is asked for. Raises InvalidInput naming the field that is wrong."""
        mixing, rates = _rates(self, tasks)
        own = rates if mixing == "rates" else [None] * len(tasks)
        named = [{"name": task.title, "rate": rate} for task, rate in zip(tasks, own, strict=True)]
        return job_options(
            MultiTaskOptions,
            self,
            name=f"{self.prefix}{self.name}",
            tasks=named,
            mixing=mixing,
            size_limit=self.size_limit if mixing == "size" else None,
        )

    def _checked(
        self, settings: Settings
    ) -> tuple[MultiTask, Settings, Path, list[Task], MultiTaskOptions, InputNotes]:
        check_visibility(self.title, self.visibility)
        check_parts(self.title, self.evaluate_on)
        config, settings, output = deployed(self, settings, f"multitask/{self.prefix}{self.name}")
        limits = read_limits(settings.root, config.model or "")
        check_fits(limits, self.title, self.max_input_length)
        tasks = task_list(self.tasks, f"{self.title}.tasks")
        if len(tasks) == 1 and isinstance(tasks[0], TaskMixture):
            mixture = tasks[0]
            tasks = list(mixture.tasks)
            config = dataclasses.replace(config, mixing="rates", rates=mixture.task_rates())
        options = config.options(tasks)
        notes = check_rows(
            tasks, limits, truncate=self.truncate, max_input_length=self.max_input_length
        )
        return config, settings, output, tasks, options, notes


def _rates(config: MultiTask, tasks: Sequence[Task]) -> tuple[str, list[float]]:
    """The mixing of the tasks as a job's spec has it, and each task's rate."""
    rates = mixing_rates(
        tasks,
        config.mixing,
        limit=config.size_limit,
        temperature=config.temperature,
        rates=config.rates,
        field=f"{config.title}.mixing",
    )
    names = {"equal": "equal", "proportional": "size"}
    return names.get(config.mixing, "rates"), rates


def _stored(
    config: MultiTask, stores: Stores, tasks: Sequence[Task], options: MultiTaskOptions
) -> MultiTaskSpec:
    """The job on datasets of the tasks' rows, which are stored unless they are there."""
    stored: dict[str, TaskRows] = {}
    for task in tasks:
        stem = f"{config.prefix}{task.title}"
        train = registered(stores.datasets, config, stem, task, task.rows("train"))
        stored[task.title] = {"dataset": train.id}
        if scored := config.scored_rows(task):
            name = f"{stem}.validation"
            stored[task.title]["validation"] = registered(
                stores.datasets, config, name, task, scored
            ).id
    return options.on(stored)
