"""What a library run intends for each prompt: its rows, its datasets, and whether it is there."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from ptsys.data.metrics import majority
from ptsys.engine.workbench import Workbench
from ptsys.errors import Conflict, NotFound, PtsysError
from ptsys.runs.task_folder import Task
from ptsys.store.datasets import Datasets
from ptsys.store.prompts import Prompts
from ptsys.types.example import Example, digest
from ptsys.types.records import Dataset, Prompt
from ptsys.types.specs import hyperparameters
from ptsys.types.training import TrainingSpec

if TYPE_CHECKING:
    from ptsys.runs.build_library import BuildLibrary

State = Literal["missing", "recorded", "trained", "failed"]


@dataclasses.dataclass
class Plan:
    """One prompt to be. `majority` is the most common answer's accuracy on the rows that `score`
    is taken from: the test rows if there are any, else the validation rows."""

    name: str
    task: Task
    state: State = "missing"
    reason: str = ""
    spec: TrainingSpec | None = None
    dataset: Dataset | None = None
    majority: float | None = None
    scores: dict[str, float] = dataclasses.field(default_factory=dict)

    @property
    def score(self) -> float | None:
        """Accuracy on test rows, or on validation rows where nothing was tested."""
        return self.scores.get("test_accuracy", self.scores.get("accuracy"))

    @property
    def above_majority(self) -> bool:
        """It answers better than the most common answer would."""
        return self.score is not None and self.majority is not None and self.score > self.majority

    def fail(self, reason: str) -> None:
        """Give it up, for one line's reason."""
        self.state, self.reason = "failed", " ".join(reason.split())

    def line(self) -> dict[str, Any]:
        """Its line in the summary."""
        names = ("accuracy", "test_accuracy", "train_loss")
        scores = {name: _rounded(self.scores.get(name)) for name in names}
        return {"prompt": self.name, "majority": _rounded(self.majority), **scores}


class Planner:
    """Registers the rows of tasks, and says what of them is still to be trained."""

    def __init__(
        self, config: BuildLibrary, bench: Workbench, datasets: Datasets, prompts: Prompts
    ) -> None:
        self._config = config
        self._fingerprint = bench.served.fingerprint
        self._datasets = datasets
        self._prompts = prompts
        self._owner = config.owner or "local"

    def plans(self, task: Task) -> list[Plan]:
        """A plan a seed. A task that is broken has failed already, and says why."""
        stem = f"{self._config.prefix}{task.name}"
        seeds = self._config.seeds
        names = [stem] if len(seeds) == 1 else [f"{stem}.seed{seed}" for seed in seeds]
        plans = [Plan(name, task) for name in names]
        try:
            train = task.rows("train")[: self._config.max_rows]
            validation, test = task.rows("validation"), task.rows("test")
            dataset = self._register(stem, task, train)
            if validation:
                self._register(f"{stem}.validation", task, validation)
            for plan, seed in zip(plans, seeds, strict=True):
                self._fill(plan, seed, dataset, train, test or validation)
        except PtsysError as error:
            for plan in plans:
                plan.fail(str(error))
        return plans

    def _register(self, name: str, task: Task, rows: Sequence[Example]) -> Dataset:
        """The dataset of that name, which has these rows. Raises Conflict if it has others."""
        try:
            known = self._datasets.get(f"{self._owner}/{name}", self._owner)
        except NotFound:
            return self._datasets.add(
                name,
                self._owner,
                rows,
                description=_described(task),
                visibility=self._config.visibility,
            )
        if known.digest != digest(rows):
            raise Conflict(
                f"dataset {name!r} is there already with other rows; choose a "
                f"BuildLibrary.prefix, or delete that one"
            )
        return known

    def _fill(
        self,
        plan: Plan,
        seed: int,
        dataset: Dataset,
        train: Sequence[Example],
        scored: Sequence[Example],
    ) -> None:
        plan.dataset = dataset
        plan.spec = self._config.spec(plan.name, dataset.id, seed)
        if scored:
            targets = [[row.target or "" for row in rows] for rows in (train, scored)]
            plan.majority = majority(*targets)[1]
        try:
            known = self._prompts.get(f"{self._owner}/{plan.name}", self._owner)
        except NotFound:
            return
        if not self._same(known, plan.spec):
            plan.fail(
                f"prompt {plan.name!r} is there already, of another model, dataset or other "
                "settings; choose a BuildLibrary.prefix, or delete that one"
            )
            return
        plan.state, plan.scores = "recorded", dict(known.scores)

    def _same(self, known: Prompt, spec: TrainingSpec) -> bool:
        """Whether that prompt is what this run would train."""
        return (
            known.dataset == spec.dataset
            and known.model_fingerprint == self._fingerprint
            and known.hyperparameters == hyperparameters(spec)
            and known.initialization == initialization(spec)
        )


def initialization(spec: TrainingSpec) -> dict[str, Any]:
    """Where a prompt of this spec starts, as it is recorded."""
    return spec.initialization.model_dump(mode="json", exclude_none=True)


def _described(task: Task) -> str | None:
    """A dataset's description; it has no other place for the licence of its rows."""
    said = (task.description, None if task.licence is None else f"(licence: {task.licence})")
    return " ".join(text for text in said if text) or None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
