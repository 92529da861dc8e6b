"""`ptsys run --gin_file=gin/runs/evaluate.gin`: prompts scored with each task's own metrics."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from ptsys.config import Settings
from ptsys.engine.engine import Engine
from ptsys.engine.serving import Serving
from ptsys.engine.workbench import Workbench
from ptsys.errors import InvalidInput
from ptsys.jobs.limits import ModelLimits, read_limits
from ptsys.kinds.trees import Tree
from ptsys.runs.answering import Question, answer
from ptsys.runs.model_bench import model_bench
from ptsys.runs.named_prompt import identity, named_prompt
from ptsys.runs.prompt_plan import majority_answer
from ptsys.runs.row_bar import Done, row_bar
from ptsys.runs.run_folder import alone_in, write_json
from ptsys.runs.run_metrics import RunMetrics
from ptsys.runs.run_plan import check_rows, noted, tell
from ptsys.runs.stores import engine_of, opened_stores
from ptsys.runs.tasks.task import Part, Task
from ptsys.runs.tasks.task_list import Sources, task_list
from ptsys.runs.tuning import check_parts, deployed
from ptsys.types.input_notes import InputNotes


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """A run that scores prompts. Only `tasks` must be named.

    `prompt` is a stored prompt, a file, or None for the bare model; `{task}` in it stands for each
    task's name. `parts` are looked for in every task; one that has none of them is an error. With
    `labels` the likeliest of them is the answer. The answers lie in `<output>/answers`.
    """

    tasks: Sources
    prompt: str | None = "{task}"
    data: str | None = None
    owner: str | None = None
    model: str | None = None
    serving: Serving | None = None
    parts: tuple[Part, ...] = ("validation", "test")
    labels: tuple[str, ...] | None = None
    truncate: bool = False
    output: str | None = None
    title: ClassVar[str] = "Evaluate"

    def __call__(self, settings: Settings | None = None) -> dict[str, Any]:
        """Score, or go on behind the rows that an earlier run has answered.

        Returns a summary. Raises InvalidInput for what cannot be asked, before anything is
        answered; Conflict if another run works in the same output.
        """
        began = time.monotonic()
        config, settings, output, tasks, limits, notes = self._checked(settings or Settings())
        tell(notes)
        bench = model_bench(config.model, config.serving, settings)
        user = config.owner or "local"
        with alone_in(output), opened_stores(settings) as stores, RunMetrics(output) as metrics:
            prompts = {
                task.title: named_prompt(
                    self._reference(task), stores, user, bench, f"{self.title}.prompt"
                )
                for task in tasks
            }
            (output / "answers").mkdir(exist_ok=True)
            total = sum(len(task.rows(part)) for task in tasks for part in self.parts)
            with engine_of(bench, settings, 1) as engine, row_bar(total) as done:
                engine.start()
                work = _Scoring(config, bench, engine, limits, output / "answers", metrics, done)
                lines = [
                    work.line(task, part, prompts[task.title], self._reference(task))
                    for task in tasks
                    for part in self.parts
                    if task.rows(part)
                ]
            summary: dict[str, Any] = {
                "scores": lines,
                "model": bench.served.name,
                "output": str(output),
            }
            summary |= {"seconds": round(time.monotonic() - began, 1)}
            write_json(output / "summary.json", summary)
        return summary

    def plan(self, settings: Settings) -> dict[str, Any]:
        """What it would do: its tasks with their prompts and rows."""
        config, _, output, tasks, _, notes = self._checked(settings)
        lines = [
            {
                "task": task.title,
                "prompt": self._reference(task) or "(none)",
                **{part: len(task.rows(part)) for part in self.parts},
            }
            for task in tasks
        ]
        return {"tasks": lines, "model": config.model, **noted(notes), "output": str(output)}

    def _reference(self, task: Task) -> str | None:
        return None if self.prompt is None else self.prompt.replace("{task}", task.title)

    def _checked(
        self, settings: Settings
    ) -> tuple[Evaluate, Settings, Path, list[Task], ModelLimits, InputNotes]:
        check_parts(self.title, self.parts)
        if not self.parts:
            raise InvalidInput("name 'validation', 'test' or both", field=f"{self.title}.parts")
        config, settings, output = deployed(self, settings, "evaluate")
        limits = read_limits(settings.root, config.model or "")
        tasks = task_list(self.tasks, f"{self.title}.tasks")
        notes = check_rows(tasks, limits, truncate=self.truncate, parts=self.parts)
        for task in tasks:
            if not any(task.rows(part) for part in self.parts):
                raise InvalidInput(
                    f"task {task.title!r} has no rows to score on; add "
                    f"{' or '.join(f'{part}.jsonl' for part in self.parts)}",
                    field=f"{self.title}.tasks",
                )
        return config, settings, output, tasks, limits, notes


@dataclasses.dataclass(frozen=True)
class _Scoring:
    config: Evaluate
    bench: Workbench
    engine: Engine
    limits: ModelLimits
    folder: Path
    metrics: RunMetrics
    done: Done

    def line(
        self, task: Task, part: Part, prompt: Tree | None, reference: str | None
    ) -> dict[str, Any]:
        """A part's line in the summary."""
        rows = task.rows(part)
        targets = [row.target or "" for row in rows]
        question = Question(
            rows=rows,
            prompt=prompt,
            decoding=self.limits.scoring(targets, self.config.labels),
            identity=identity(prompt, self.bench),
            user=self.config.owner or "local",
        )
        name = f"{task.title}.{part}"
        found = answer(
            self.engine, question, self.folder / f"{name}.jsonl", lambda n: self.done(name, n)
        )
        scores = self._scores(task, part, [line["prediction"] for line in found])
        self.metrics.write(task.title, 0, **{f"{part}_{key}": x for key, x in scores.items()})
        commonest = [majority_answer(targets)] * len(rows)
        return {
            "task": task.title,
            "part": part,
            "prompt": reference or "(none)",
            "rows": len(rows),
            "scores": {key: round(x, 4) for key, x in scores.items()},
            "majority": round(self._scores(task, part, commonest).get(task.metric, 0.0), 4),
        }

    def _scores(self, task: Task, part: Part, answers: Sequence[str]) -> dict[str, float]:
        try:
            return task.score(part, answers)
        except Exception as error:  # the task may bring metrics of its own
            raise InvalidInput(
                f"a metric of {task.title!r} failed: {type(error).__name__}: {error}", field="tasks"
            ) from error
