"""What a run intends for each prompt: its rows, its datasets, and whether it is there."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

from ptsys.data.metrics import majority
from ptsys.engine.workbench import Workbench
from ptsys.errors import Conflict, NotFound, PtsysError
from ptsys.jobs.limits import ModelLimits
from ptsys.runs.run_plan import check_rows
from ptsys.runs.tasks.task import Part, Task
from ptsys.runs.tasks.task_mixture import TaskMixture
from ptsys.runs.tuning import Keeping, Tuning
from ptsys.store.datasets import Datasets
from ptsys.store.prompts import Prompts
from ptsys.training.trained import recorded_settings, recorded_start
from ptsys.types.example import Example, digest
from ptsys.types.input_notes import InputNotes
from ptsys.types.records import Dataset, Prompt
from ptsys.types.training import TrainingSpec

State = Literal["missing", "recorded", "trained", "failed"]


@dataclasses.dataclass
class Plan:
    """One prompt to be. `majority` is the most common answer's score on the rows that `score`
    is taken from: the test rows if there are any, else the validation rows. `prompt` is the id
    of the recorded one."""

    name: str
    task: Task
    state: State = "missing"
    reason: str = ""
    spec: TrainingSpec | None = None
    dataset: Dataset | None = None
    majority: float | None = None
    prompt: str | None = None
    scores: dict[str, float] = dataclasses.field(default_factory=dict)

    @property
    def score(self) -> float | None:
        """The task's metric on test rows, or on validation rows where nothing was tested."""
        return self.scores.get(f"test_{self.metric}", self.scores.get(self.metric))

    @property
    def metric(self) -> str:
        """The name of the score that counts most."""
        return self.task.metric

    @property
    def above_majority(self) -> bool:
        """It answers better than the most common answer would."""
        return self.score is not None and self.majority is not None and self.score > self.majority

    def fail(self, reason: str) -> None:
        """Give it up, for one line's reason."""
        self.state, self.reason = "failed", " ".join(reason.split())

    def line(self) -> dict[str, Any]:
        """Its line in the summary."""
        names = (self.metric, f"test_{self.metric}", "train_loss")
        scores = {name: _rounded(self.scores.get(name)) for name in names}
        return {"prompt": self.name, "majority": _rounded(self.majority), **scores}


class Planner:
    """Registers the rows of tasks, and says what of them is still to be trained."""

    def __init__(
        self,
        config: Tuning,
        bench: Workbench,
        datasets: Datasets,
        prompts: Prompts,
        limits: ModelLimits | None = None,
    ) -> None:
        """With `limits` the tasks' rows are still to be checked by them; `notes` then count what is
        not read of these."""
        self.notes = InputNotes()
        self._limits = limits
        self._config = config
        self._fingerprint = bench.served.fingerprint
        self._datasets = datasets
        self._prompts = prompts
        self._owner = config.owner or "local"

    def plans(self, task: Task) -> list[Plan]:
        """A plan a seed. A task that is broken has failed already, and says why."""
        stem = f"{self._config.prefix}{task.title}"
        seeds = self._config.seeds
        names = [stem] if len(seeds) == 1 else [f"{stem}.seed{seed}" for seed in seeds]
        plans = [Plan(name, task) for name in names]
        try:
            if self._limits is not None:
                self.notes += check_rows([task], self._limits, truncate=self._config.truncate)
            train = task.rows("train")[: self._config.max_rows]
            dataset = self._register(stem, task, train)
            if validation := task.rows("validation"):
                self._register(f"{stem}.validation", task, validation)
            for plan, seed in zip(plans, seeds, strict=True):
                self._fill(plan, seed, dataset, train)
        except PtsysError as error:
            for plan in plans:
                plan.fail(str(error))
        return plans

    def _register(self, name: str, task: Task, rows: Sequence[Example]) -> Dataset:
        return registered(self._datasets, self._config, name, task, rows)

    def _fill(
        self,
        plan: Plan,
        seed: int,
        dataset: Dataset,
        train: Sequence[Example],
    ) -> None:
        plan.dataset = dataset
        plan.spec = self._config.options(plan.name, seed).on(dataset.id)
        plan.majority = majority_score(plan.task, train)
        try:
            known = self._prompts.get(f"{self._owner}/{plan.name}", self._owner)
        except NotFound:
            return
        if not self._same(known, plan, plan.spec):
            plan.fail(
                f"prompt {plan.name!r} is there already, of another model, dataset or other "
                f"settings; choose a {self._config.title}.prefix, or delete that one"
            )
            return
        plan.state, plan.scores, plan.prompt = "recorded", dict(known.scores), known.id

    def _same(self, known: Prompt, plan: Plan, spec: TrainingSpec) -> bool:
        """Whether that prompt is what this run would train."""
        return (
            known.dataset == spec.dataset
            and known.model_fingerprint == self._fingerprint
            and known.hyperparameters == recorded_settings(spec, rates_of(plan.task))
            and known.initialization == recorded_start(spec)
        )


def registered(
    datasets: Datasets, config: Keeping, name: str, task: Task, rows: Sequence[Example]
) -> Dataset:
    """The run's dataset of that name, which has these rows. Raises Conflict if it has others."""
    owner = config.owner or "local"
    try:
        known = datasets.get(f"{owner}/{name}", owner)
    except NotFound:
        return datasets.add(
            name, owner, rows, description=_described(task), visibility=config.visibility
        )
    if known.digest != digest(rows):
        raise Conflict(
            f"dataset {name!r} is there already with other rows; choose a {config.title}.prefix, "
            "or delete that one"
        )
    return known


def majority_score(task: Task, train: Sequence[Example]) -> float | None:
    """What the most common training target scores on the test rows, or where there are none on
    the validation rows; None without either, and where no training row has a target."""
    targets = [row.target for row in train if row.target is not None]
    parts: tuple[Part, ...] = ("test", "validation")
    part = next((part for part in parts if task.rows(part)), None)
    if part is None or not targets:
        return None
    rows = task.rows(part)
    return task.score(part, [majority_answer(targets)] * len(rows)).get(task.metric)


def majority_answer(targets: Sequence[str]) -> str:
    """The most common of these answers."""
    return majority(targets, targets)[0]


def rates_of(task: Task) -> dict[str, float] | None:
    """The rates by which a mixture's rows are drawn from its tasks; None of a plain task."""
    return task.task_rates() if isinstance(task, TaskMixture) else None


def _described(task: Task) -> str | None:
    """A dataset's description; it has no other place for the licence of its rows."""
    said = (task.description, None if task.licence is None else f"(licence: {task.licence})")
    return " ".join(text for text in said if text) or None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
