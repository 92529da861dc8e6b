"""`ptsys run --gin_file=gin/runs/meta_joint.gin` or `meta_regression.gin`: a meta-prompt, trained
on many tasks (WO2023022727A1, figures 3, 4, 8 and 9; docs/meta_prompts.md).

It is trained in this process and recorded in the deployment's library. `ptsys run … --submit`
queues the same as a job.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from ptsys.config import Settings
from ptsys.engine.model import ServedModel
from ptsys.engine.serving import Serving
from ptsys.errors import InvalidInput
from ptsys.jobs.limits import read_limits
from ptsys.kinds.starting import arrays_of, refuse_teacher
from ptsys.runs.meta_run_training import MetaRunTraining
from ptsys.runs.model_bench import model_bench
from ptsys.runs.prompt_plan import registered
from ptsys.runs.recording import made_before, record_all, run_maker
from ptsys.runs.run_folder import CHECKPOINTS, alone_in, write_json
from ptsys.runs.run_metrics import RunMetrics
from ptsys.runs.run_plan import check_fits, check_rows, noted, plan_lines, tell
from ptsys.runs.run_training import Learned
from ptsys.runs.stores import Stores, engine_of, opened_stores
from ptsys.runs.submission import JobRequest, QueuedRows
from ptsys.runs.tasks.task import Task
from ptsys.runs.tasks.task_list import Sources, task_list
from ptsys.runs.tuning import check_visibility, deployed, job_options
from ptsys.training.meta_taught import residents_of
from ptsys.types.input_notes import InputNotes
from ptsys.types.meta_training import MetaOptions, MetaSpec, MetaTaskRows
from ptsys.types.records import Parent, Prompt


@dataclasses.dataclass(frozen=True)
class MetaTrain:
    """A run that trains a meta-prompt `name` on `tasks`; nothing else must be named.

    Their descriptions are read with their examples now and then. `held_out` tasks, the last ones
    (unset, a fifth of them), are scored on instead of learned from, and what is kept is the best
    that was scored. `prompts` are the tuned prompts of the tasks, stored as `<prompts><task>`:
    `regression` learns from nothing else, `joint` where `teacher_weight` is above 0, and where
    `answer_weight` is from how they answer. Where `prompts` is None they are tuned first,
    `tuning_steps` updates each (by `joint` this has to be said), and last as long as the run.
    `init` is `shared` (what ships with the model), `vocabulary` (anew) or, as `start`, a
    meta-prompt's name. The `generator` that reads the examples is `shared` with all, `own`, or
    `own-trained`.
    """

    tasks: Sources
    name: str
    data: str | None = None
    owner: str | None = None
    model: str | None = None
    serving: Serving | None = None
    prefix: str = ""
    method: str = "joint"
    aggregate: str = "each"
    generator: str = "shared"
    examples: int = 16
    tasks_per_step: int = 8
    batch_size: int = 32
    loss: str = "l2"
    prompts: str | None = None
    tuning_steps: int | None = None
    tuning_rate: float = 0.3
    teacher_weight: float = 0.0
    answer_weight: float = 0.0
    length_weight: float = 0.1
    held_out: int | None = None
    patience: int | None = None
    steps: int = 2000
    length: int = 8
    init: str = "shared"
    start: str | None = None
    optimizer: str = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    decay: str = "constant"
    warmup_steps: int = 0
    max_input_length: int | None = None
    truncate: bool = False
    seed: int = 0
    evaluate_every: int = 200
    checkpoint_every: int = 100
    visibility: Literal["private", "public"] = "private"
    licence: str | None = None
    contact: str | None = None
    tags: tuple[str, ...] = ()
    output: str | None = None
    title: ClassVar[str] = "MetaTrain"

    def __call__(self, settings: Settings | None = None) -> dict[str, Any]:
        """Train it, or go on where an earlier run was stopped; nothing if it is there.

        Returns a summary. Raises InvalidInput for what cannot be asked, NotFound for a model, a
        start or a tuned prompt that is not there, Conflict for a prompt of this name with other
        settings and if another run works in the same output.
        """
        began = time.monotonic()
        config, settings, output, tasks, options, notes = self._checked(settings or Settings())
        tell(notes)
        bench = model_bench(config.model, config.serving, settings)
        with alone_in(output), opened_stores(settings) as stores, RunMetrics(output) as metrics:
            spec = config.stored(stores, tasks, options)
            known = made_before(config, stores.prompts, spec, bench.served)
            new = known is None
            if known is None:
                with engine_of(bench, settings, residents_of(spec)) as engine:
                    training = MetaRunTraining(
                        bench,
                        engine,
                        tasks,
                        spec,
                        (stores.prompts, config.owner or "local"),
                        output / CHECKPOINTS,
                        metrics,
                    )
                    made = training.train()
                known = config.record(stores, bench.served, spec, made)
                made.forget()
            summary = {
                "meta_prompt": known.name,
                "id": known.id,
                "model": known.model,
                "trained": int(new),
                "steps": known.steps,
                "scores": {name: round(x, 4) for name, x in known.scores.items()},
                "output": str(output),
                "seconds": round(time.monotonic() - began, 1),
            }
            write_json(output / "summary.json", summary)
        return summary

    def plan(self, settings: Settings) -> dict[str, Any]:
        """What it would do: its tasks with their rows, and where results would lie."""
        config, settings, output, tasks, options, notes = self._checked(settings)
        lines = plan_lines(tasks)
        for line, scored in zip(lines["tasks"], options.scored(), strict=True):
            line["held_out"] = scored
        return {
            **lines,
            "model": config.model,
            "prompts_to_tune": self._to_tune(options),
            "steps": self.steps,
            "tasks_a_step": min(self.tasks_per_step, len(tasks)),
            "rows_a_step": self.batch_size,
            **noted(notes),
            "output": str(output),
        }

    def jobs(self, settings: Settings) -> list[JobRequest]:
        """The same as one queued job."""
        config, _, _, tasks, options, _ = self._checked(settings)
        rows = {
            (task.title, "dataset"): QueuedRows(
                f"{self.prefix}{task.title}", task.rows("train"), task.description
            )
            for task in tasks
        }
        prompts = {
            task.title: name
            for task, scored in zip(tasks, options.scored(), strict=True)
            if not scored and (name := config.tuned(task, options)) is not None
        }
        return [JobRequest(options, rows, prompts, self.start)]

    def tuned(self, task: Task, options: MetaOptions) -> str | None:
        """The name of a task's tuned prompt, if one is to be learned from that is there."""
        named = self.prompts is not None and options.learns_from_prompts
        return f"{self.prompts}{task.title}" if named else None

    def _to_tune(self, options: MetaOptions) -> int:
        """How many prompts are tuned first."""
        none = self.prompts is not None or not options.prompt_updates
        return 0 if none else options.scored().count(False)

    # ---- the store ------------------------------------------------------------------------

    def stored(self, stores: Stores, tasks: Sequence[Task], options: MetaOptions) -> MetaSpec:
        """The job on datasets of the tasks' rows, which are stored unless they are there, and on
        the prompts that were tuned on those it learns from."""
        rows: dict[str, MetaTaskRows] = {}
        owner = self.owner or "local"
        for task, scored in zip(tasks, options.scored(), strict=True):
            stem = f"{self.prefix}{task.title}"
            train = registered(stores.datasets, self, stem, task, task.rows("train"))
            rows[task.title] = {"dataset": train.id}
            name = self.tuned(task, options)
            if name is not None and not scored:
                prompt = stores.prompts.get(f"{owner}/{name}", owner)
                refuse_teacher(prompt.name, arrays_of(prompt.kind), f"{self.title}.prompts")
                rows[task.title]["prompt"] = prompt.id
        spec = options.on(rows)
        if self.start is not None:
            begun = spec.initialization.model_copy(
                update={"kind": "prompt", "prompt": stores.prompts.get(self.start, owner).id}
            )
            spec = spec.model_copy(update={"initialization": begun})
        return spec

    def record(self, stores: Stores, model: ServedModel, spec: MetaSpec, made: Learned) -> Prompt:
        """Store its arrays, then its record."""
        [own] = made.completed.prompts
        begun = spec.initialization.prompt
        if begun is not None:
            own = dataclasses.replace(own, parents=(Parent(prompt=begun, role="start"),))
        maker = run_maker(self, spec, model)
        record = maker.record(own, stores.prompts.new_id(), licence=self.licence)
        record_all(stores.prompts, [(record, own.values)])
        return record

    def _checked(
        self, settings: Settings
    ) -> tuple[MetaTrain, Settings, Path, list[Task], MetaOptions, InputNotes]:
        check_visibility(self.title, self.visibility)
        config, settings, output = deployed(self, settings, f"meta/{self.prefix}{self.name}")
        limits = read_limits(settings.root, config.model or "")
        check_fits(limits, self.title, self.max_input_length)
        tasks = task_list(self.tasks, f"{self.title}.tasks")
        named = [{"name": task.title, "description": task.description or None} for task in tasks]
        options = job_options(MetaOptions, config, name=f"{self.prefix}{self.name}", tasks=named)
        notes = check_rows(
            tasks, limits, truncate=self.truncate, max_input_length=self.max_input_length
        )
        if options.learns_from_prompts and self.prompts is None and not options.prompt_updates:
            raise InvalidInput(
                "name the tasks' tuned prompts, or set tuning_steps to have them tuned first",
                field=f"{self.title}.prompts",
            )
        for task in tasks:
            if any(row.target is None for row in task.rows("train")):
                raise InvalidInput(
                    f"task {task.title!r} has rows without a target; give the answers",
                    field=f"{self.title}.tasks",
                )
        return config, settings, output, tasks, options, notes
