"""`ptsys run --gin_file=gin/runs/prompt_tune.gin`: a prompt for each of one or many tasks.

All prompts train side by side as residents of one engine, and each is recorded in the deployment's
library as soon as it is done. `ptsys run … --submit` makes a queued job of each instead.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from ptsys.config import Settings
from ptsys.engine.serving import Serving
from ptsys.errors import InvalidInput
from ptsys.jobs.limits import ModelLimits, read_limits
from ptsys.jobs.prompt_fits import check_made
from ptsys.kinds.registry import read_as_it_is
from ptsys.prompts.formats import check_format, write_tree
from ptsys.prompts.storage import load_tree
from ptsys.runs.prompt_plan import Plan
from ptsys.runs.prompt_run import Trained, trained_prompts
from ptsys.runs.run_folder import write_json
from ptsys.runs.run_plan import check_fits, check_rows, noted, plan_lines, tell
from ptsys.runs.submission import JobRequest, QueuedRows
from ptsys.runs.tasks.task import Task
from ptsys.runs.tasks.task_list import Sources, task_list
from ptsys.runs.tasks.task_mixture import TaskMixture
from ptsys.runs.tuning import check_tuning, deployed, job_options, naming
from ptsys.types.flat import flat_name
from ptsys.types.input_notes import InputNotes
from ptsys.types.training import TOKENS, TrainingOptions

_INITS = ("shared", "vocabulary", "labels", "meta")


@dataclasses.dataclass(frozen=True)
class PromptTune:
    """A run that tunes a prompt for each task. Only `tasks` must be named; the hyperparameters
    are those of Lester et al. 2021, as gin/recipes/lester_2021.gin tells.

    `data`, `owner` and `model` are the deployment's own where they are None. `prefix` stands
    before the names of datasets and prompts; with several `seeds` a task gets a prompt for each,
    `<task>.seed<n>`. `evaluate_every` and `checkpoint_every` count steps; a killed run loses at
    most `checkpoint_every`, and ends the same. `at_once` counts the prompts in the engine at a
    time. `export` is the form of the files in `<output>/prompts`, None for no files.
    """

    tasks: Sources
    data: str | None = None
    owner: str | None = None
    model: str | None = None
    serving: Serving | None = None
    prefix: str = ""
    seeds: tuple[int, ...] = (0,)
    max_rows: int | None = None
    steps: int = 30_000
    length: int = 100
    batch_size: int = 32
    init: str = "labels"
    optimizer: str = "adafactor"
    learning_rate: float = 0.3
    weight_decay: float = 1e-5
    decay: str = "constant"
    warmup_steps: int = 0
    z_loss: float = 1e-4
    initial_step: int = 0
    prompt_kind: str = TOKENS
    max_input_length: int | None = None
    truncate: bool = False
    evaluate_every: int = 1000
    evaluate_on: tuple[str, ...] = ("validation", "test")
    checkpoint_every: int = 100
    at_once: int = 64
    visibility: Literal["private", "public"] = "private"
    licence: str | None = None
    contact: str | None = None
    tags: tuple[str, ...] = ()
    export: Literal["npy", "safetensors", "peft"] | None = "safetensors"
    output: str | None = None
    title: ClassVar[str] = "PromptTune"

    def __call__(self, settings: Settings | None = None) -> dict[str, Any]:
        """Train what is not recorded yet, or go on where an earlier run was stopped.

        Returns a summary, whose `failed` names the tasks that could not be done and why. Raises
        InvalidInput for what cannot be asked, before anything is trained; NotFound for a model
        that is not there, Conflict if another run works in the same output.
        """
        config, settings, output, tasks, notes = self._checked(settings or Settings())
        tell(notes)
        with trained_prompts(config, tasks, settings, output, strict=True) as trained:
            if self.export is not None:
                _export(trained, self.prompt_kind, output / "prompts", self.export)
            summary = _summary(trained)
            summary |= {"output": str(output), "seconds": trained.seconds}
            write_json(output / "summary.json", summary)
        return summary

    def plan(self, settings: Settings) -> dict[str, Any]:
        """What it would do: its tasks with their rows, its steps, and where results would lie."""
        config, settings, output, tasks, notes = self._checked(settings)
        return {
            **plan_lines(tasks, self.seeds),
            "model": config.model,
            "steps": self.steps,
            "rows_a_step": self.batch_size,
            **noted(notes),
            "output": str(output),
        }

    def jobs(self, settings: Settings) -> list[JobRequest]:
        """The same as queued jobs, one a task and seed. Raises InvalidInput for a mixture, which
        is no job of one dataset."""
        config, _, _, tasks, _ = self._checked(settings)
        for task in tasks:
            if isinstance(task, TaskMixture):
                raise InvalidInput(
                    f"{task.title!r} is a mixture, which a queued job of one prompt cannot learn; "
                    "leave --submit out, or use gin/runs/multitask.gin",
                    field="submit",
                )
        return [job for task in tasks for job in config._jobs(task)]

    def options(self, name: str, seed: int) -> TrainingOptions:
        """What is asked for one prompt. Raises InvalidInput naming the field that is wrong."""
        if self.init not in _INITS:
            raise InvalidInput(
                f"{self.init!r}: choose {', '.join(_INITS)}", field=f"{self.title}.init"
            )
        return job_options(TrainingOptions, self, name=name, seed=seed)

    def _checked(
        self, settings: Settings
    ) -> tuple[PromptTune, Settings, Path, list[Task], InputNotes]:
        """The complete run, its settings, output and tasks, and what is not read of their inputs,
        once all is looked at that can be known before a model is loaded."""
        check_tuning(self)
        if self.export not in (None, "npy", "safetensors", "peft"):
            raise InvalidInput(
                f"{self.export!r}: choose npy, safetensors, peft or None",
                field=f"{self.title}.export",
            )
        config, settings, output = deployed(self, settings, "prompt_tune")
        limits = read_limits(settings.root, config.model or "")
        check_fits(limits, self.title, self.max_input_length)
        self._check_kind(limits)
        tasks = task_list(self.tasks, f"{self.title}.tasks")
        notes = check_rows(
            tasks, limits, truncate=self.truncate, max_input_length=self.max_input_length
        )
        return config, settings, output, tasks, notes

    def _check_kind(self, limits: ModelLimits) -> None:
        """Refuse what no prompt of the kind could be or start at, and a form that has no place for
        one."""
        try:
            check_made(self.options("unnamed", self.seeds[0]), limits)
        except InvalidInput as error:
            field = flat_name(tuple((error.field or "").split(".")))
            raise InvalidInput(str(error), field=f"{self.title}.{field}") from None
        kind = read_as_it_is(self.prompt_kind)
        if self.export is not None:
            with naming(f"{self.title}.export"):
                small = kind.start(np.zeros((1, limits.d_model), np.float32), limits)
                check_format(kind.name, small, self.export)

    def _jobs(self, task: Task) -> list[JobRequest]:
        stem = f"{self.prefix}{task.title}"
        names = [stem] if len(self.seeds) == 1 else [f"{stem}.seed{seed}" for seed in self.seeds]
        train = task.rows("train")[: self.max_rows]
        rows = {("", "dataset"): QueuedRows(stem, train, task.description)}
        scored = task.rows("validation") if "validation" in self.evaluate_on else []
        if scored:
            rows["", "validation"] = QueuedRows(f"{stem}.validation", scored, task.description)
        return [
            JobRequest(self.options(name, seed), rows)
            for name, seed in zip(names, self.seeds, strict=True)
        ]


def _export(
    trained: Trained, kind: str, folder: Path, form: Literal["npy", "safetensors", "peft"]
) -> None:
    """Every prompt that is there as a file; one that lies there already is left alone."""
    folder.mkdir(parents=True, exist_ok=True)
    for plan in trained.plans:
        path = folder / (plan.name if form == "peft" else f"{plan.name}.{form}")
        if plan.prompt is not None and not path.exists():
            tree = load_tree(trained.stores.prompts.tensor_path(plan.prompt))
            notes = {"model": trained.bench.served.name, "name": plan.name}
            write_tree(kind, tree, path, form, notes)


def _summary(trained: Trained) -> dict[str, Any]:
    done = [plan for plan in trained.plans if plan.state in ("trained", "recorded")]
    return {"prompts": [_line(plan) for plan in done], **trained.summary()}


def _line(plan: Plan) -> dict[str, Any]:
    """A prompt's line in the closing table: the task's own metric on what it was scored on."""
    numbers = {
        "majority": plan.majority,
        "validation": plan.scores.get(plan.metric),
        "test": plan.scores.get(f"test_{plan.metric}"),
        "train_loss": plan.scores.get("train_loss"),
    }
    rounded = {name: None if x is None else round(x, 4) for name, x in numbers.items()}
    return {"prompt": plan.name, "metric": plan.metric, **rounded}
