"""`ptsys run --gin_file=gin/runs/build_library.gin`: prompts for a folder of tasks.

Every task's rows become datasets, and a prompt is tuned on them from the model's shared start, so
that the prompts compare in the library. It works in place, without the queue: one process, one
engine, many residents at once. A deployment that runs on the same data directory is not disturbed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError
from rich.console import Console

from ptsys.config import Settings
from ptsys.engine.compilation import keep_compilations
from ptsys.engine.engine import Engine, EngineOptions
from ptsys.engine.serving import Serving
from ptsys.engine.workbench import keep_start, load_workbench
from ptsys.errors import Conflict, InvalidInput, PtsysError
from ptsys.library.library import Library
from ptsys.runs.library_plan import Plan, Planner
from ptsys.runs.library_progress import LibraryProgress
from ptsys.runs.library_training import LibraryTraining
from ptsys.runs.task_folder import find_tasks
from ptsys.sharding.mesh import use_every_core
from ptsys.store.database import Database
from ptsys.store.datasets import Datasets
from ptsys.store.prompts import Prompts
from ptsys.types.training import Optimizer, TrainingSpec

logger = logging.getLogger(__name__)


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
    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    prefix: str = ""
    seeds: tuple[int, ...] = (0,)
    max_rows: int | None = None
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

    def __call__(self, settings: Settings | None = None) -> dict[str, Any]:
        """Train what is not recorded yet, or go on where an earlier run was stopped.

        Returns a summary, whose `failed` names the tasks that could not be done and why. Raises
        InvalidInput for what cannot be asked, NotFound for a model that is not there, Conflict if
        another run works in the same output.
        """
        return _Build(_checked(self), settings or Settings()).run()

    def spec(self, name: str, dataset: str, seed: int) -> TrainingSpec:
        """What is asked for one prompt. Raises InvalidInput naming the field that is wrong."""
        try:
            return TrainingSpec(
                name=name,
                dataset=dataset,
                model=self.model or "tiny",
                steps=self.steps,
                length=self.length,
                batch_size=self.batch_size,
                optimizer=Optimizer(
                    kind=self.optimizer,  # type: ignore[arg-type]  # checked by pydantic
                    learning_rate=self.learning_rate,
                    decay=self.decay,  # type: ignore[arg-type]
                    warmup_steps=self.warmup_steps,
                ),
                seed=seed,
                evaluate_every=max(1, self.steps),  # at the end alone
                checkpoint_every=self.checkpoint_every,
            )
        except ValidationError as error:
            first = error.errors()[0]
            field = str(first["loc"][-1]) if first["loc"] else None
            field = "optimizer" if field == "kind" else field
            reason = str(first["msg"]).removeprefix("Input ")
            raise InvalidInput(
                f"{first['input']!r}: it {reason}", field=f"BuildLibrary.{field}"
            ) from None


class _Build:
    """One run in progress."""

    def __init__(self, config: BuildLibrary, settings: Settings) -> None:
        if config.data is not None:
            settings = settings.model_copy(update={"data_dir": Path(config.data)})
        self.settings = settings
        self.config = dataclasses.replace(
            config, owner=config.owner or settings.user, model=config.model or settings.model
        )
        self.output = Path(config.output or settings.root / "runs" / "build_library").expanduser()
        self.tasks = find_tasks(Path(config.tasks).expanduser(), config.include, config.exclude)
        use_every_core()
        self.bench = load_workbench(
            settings.root, self.config.model or "", serving=Serving.of(settings)
        )

    def run(self) -> dict[str, Any]:
        """The whole run."""
        began = time.monotonic()
        self.output.mkdir(parents=True, exist_ok=True)
        with _alone(self.output), self._database() as database:
            datasets = Datasets(database, self.settings.root)
            prompts = Prompts(database, self.settings.root)
            planner = Planner(self.config, self.bench, datasets, prompts)
            plans = [plan for task in self.tasks for plan in planner.plans(task)]
            console = Console(stderr=True, highlight=False)
            with LibraryProgress(plans, self.output / "metrics.jsonl", console) as progress:
                self._train(plans, datasets, prompts, progress)
            self._index(database, prompts)
        summary = summarize(plans, self.bench.served.name, self.bench.served.fingerprint)
        summary |= {"output": str(self.output), "seconds": round(time.monotonic() - began, 1)}
        _write(self.output / "summary.json", summary)
        return summary

    def _train(
        self,
        plans: list[Plan],
        datasets: Datasets,
        prompts: Prompts,
        progress: LibraryProgress,
    ) -> None:
        missing = [plan for plan in plans if plan.state == "missing"]
        if not missing:
            return
        keep_compilations(self.settings.root / "compilations")
        options = EngineOptions(max_rows=self.settings.max_rows, max_residents=self.config.at_once)
        engine = Engine(self.bench.served, options)
        try:
            LibraryTraining(
                self.config,
                self.bench,
                engine,
                datasets,
                prompts,
                self.output / "checkpoints",
                progress,
            ).run(missing)
        finally:
            engine.close()

    def _index(self, database: Database, prompts: Prompts) -> None:
        """Bring the library's index of this model up to date with what was recorded. Searches do
        so by themselves: if it fails now, the first one takes longer."""
        keep_start(self.settings.root, self.bench)
        try:
            Library(database, prompts, self.settings.root).refresh(self.bench.served.fingerprint)
        except PtsysError as error:
            logger.warning("the index was not brought up to date: %s", error)

    @contextlib.contextmanager
    def _database(self) -> Iterator[Database]:
        database = Database(self.settings.sqlalchemy_url)
        try:
            database.migrate()
            yield database
        finally:
            database.close()


def summarize(plans: list[Plan], model: str, fingerprint: str) -> dict[str, Any]:
    """What a run reached: a line a prompt, the means, and what failed."""
    done = [plan for plan in plans if plan.state in ("trained", "recorded")]
    with_majority = [plan for plan in done if plan.majority is not None and plan.score is not None]
    return {
        "model": model,
        "fingerprint": fingerprint,
        "prompts": [plan.line() for plan in done],
        "trained": sum(plan.state == "trained" for plan in plans),
        "already_there": sum(plan.state == "recorded" for plan in plans),
        "failed": {plan.name: plan.reason for plan in plans if plan.state == "failed"},
        "mean_accuracy": _mean([plan.scores.get("accuracy") for plan in done]),
        "mean_test_accuracy": _mean([plan.scores.get("test_accuracy") for plan in done]),
        "mean_majority": _mean([plan.majority for plan in done]),
        "above_majority": sum(plan.above_majority for plan in with_majority),
    }


def _mean(values: list[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return round(sum(numbers) / len(numbers), 4) if numbers else None


def _checked(config: BuildLibrary) -> BuildLibrary:
    """Refuse what no task could be done with, before anything is read or loaded."""
    seeds = config.seeds or (0,)
    if len(set(seeds)) != len(seeds):
        raise InvalidInput("name each seed once", field="BuildLibrary.seeds")
    for seed in seeds:
        config.spec("x", "x", seed)
    for field in ("at_once", "max_rows"):
        value = getattr(config, field)
        if value is not None and (not isinstance(value, int) or value < 1):
            raise InvalidInput(f"{value!r}: it should be at least 1", field=f"BuildLibrary.{field}")
    if config.visibility not in ("private", "public"):
        raise InvalidInput(
            f"{config.visibility!r}: it should be 'private' or 'public'",
            field="BuildLibrary.visibility",
        )
    for part in config.evaluate_on:
        if part not in ("validation", "test"):
            raise InvalidInput(
                f"{part!r}: it should be 'validation' or 'test'", field="BuildLibrary.evaluate_on"
            )
    return dataclasses.replace(config, seeds=tuple(seeds))


@contextlib.contextmanager
def _alone(output: Path) -> Iterator[None]:
    """Keep a second run out of the same checkpoints. The lock ends with its process."""
    with (output / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Conflict(
                f"another run works in {output}; wait for it, or give this one an output of its own"
            ) from None
        yield


def _write(path: Path, summary: dict[str, Any]) -> None:
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(summary, indent=1) + "\n")
    draft.replace(path)
