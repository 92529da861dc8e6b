"""The prompts of a multi-task run in the store: all of them are there, or none."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ptsys.engine.workbench import Workbench
from ptsys.errors import Conflict, NotFound
from ptsys.prompts.multitask import TaskPart
from ptsys.prompts.storage import save_part
from ptsys.runs.multitask_training import Learned
from ptsys.runs.prompt_plan import initialization, majority_score
from ptsys.runs.stores import Stores
from ptsys.runs.tasks.task import Task
from ptsys.store.clock import utc_now
from ptsys.store.prompts import refuse_taken_names
from ptsys.types.multitask import MultiTaskSpec
from ptsys.types.records import Prompt
from ptsys.types.specs import hyperparameters

if TYPE_CHECKING:
    from ptsys.runs.multitask import MultiTask


@dataclasses.dataclass(frozen=True)
class Recorded:
    """The general prompt, and each task's in the tasks' order; `new` if they are of this run."""

    general: Prompt
    tasks: list[Prompt]
    new: bool


class MultiTaskPrompts:
    """Finds and records them."""

    def __init__(
        self,
        config: MultiTask,
        bench: Workbench,
        stores: Stores,
        tasks: Sequence[Task],
        spec: MultiTaskSpec,
    ) -> None:
        """`spec` names stored datasets."""
        self._config = config
        self._bench = bench
        self._stores = stores
        self._tasks = tasks
        self._spec = spec
        self._owner = config.owner or "local"
        rates = {of.name: of.rate for of in spec.tasks if of.rate is not None}
        self._settings = hyperparameters(spec) | ({"rates": rates} if rates else {})

    def there(self) -> Recorded | None:
        """The prompts, if an earlier run has made them.

        Raises Conflict if a name is taken by another prompt.
        """
        prompts = self._stores.prompts
        try:
            general = prompts.get(f"{self._owner}/{self._spec.name}", self._owner)
        except NotFound:
            with self._stores.database.reading() as session:
                refuse_taken_names(session, self._owner, self._spec.prompt_names)
            return None
        linked = {prompt.task: prompt for prompt in prompts.linked(general, self._owner)}
        found = [linked.get(of.name) for of in self._spec.tasks]
        same = (
            len(linked) == len(found)
            and general.model_fingerprint == self._bench.served.fingerprint
            and general.hyperparameters == self._settings
            and general.initialization == initialization(self._spec)
        )
        own = [prompt for prompt in found if prompt is not None]
        wanted = [of.dataset for of in self._spec.tasks]
        if not same or [prompt.dataset for prompt in own] != wanted:
            raise Conflict(
                f"prompt {self._spec.name!r} is there already, of other tasks, rows or settings; "
                "choose another MultiTask.name, or delete that one and its tasks'"
            )
        return Recorded(general, own, new=False)

    def record(self, learned: Learned) -> Recorded:
        """Store the tensors, then all records at once."""
        training = learned.training
        losses = training.progress.task_losses.tolist()
        means = _means(learned.scores)
        general = self._record(
            self._spec.name, None, {**means, "train_loss": training.progress.loss}
        )
        general = general.model_copy(update={"length": len(training.general)})
        made = [(general, TaskPart(training.general))]
        for number, of in enumerate(self._spec.tasks):
            part = training.part(number)
            scores = {**learned.scores.get(number, {}), "train_loss": losses[number]}
            linked = {
                "general": general.id,
                "combination": self._spec.combination,
                "task": of.name,
                "length": 0 if part.rows is None else len(part.rows),
                "description": self._tasks[number].description,
                "licence": self._config.licence or self._tasks[number].licence,
            }
            name = self._spec.prompt_name(of.name)
            record = self._record(name, of.dataset, scores).model_copy(update=linked)
            made.append((record, part))
        self._store(made)
        return Recorded(general, [record for record, _ in made[1:]], new=True)

    def summary(self, recorded: Recorded) -> dict[str, Any]:
        """What the run reached: a line a task."""
        lines = []
        for task, prompt in zip(self._tasks, recorded.tasks, strict=True):
            numbers = {
                "majority": majority_score(task, task.rows("train")),
                "validation": prompt.scores.get(task.metric),
                "test": prompt.scores.get(f"test_{task.metric}"),
                "train_loss": prompt.scores.get("train_loss"),
            }
            rounded = {name: None if x is None else round(x, 4) for name, x in numbers.items()}
            lines.append({"prompt": prompt.name, "metric": task.metric, **rounded})
        return {
            "prompts": lines,
            "general": recorded.general.name,
            "model": self._bench.served.name,
            "fingerprint": self._bench.served.fingerprint,
            "trained": 1 + len(lines) if recorded.new else 0,
            "already_there": 0 if recorded.new else 1 + len(lines),
            "steps": self._spec.steps,
        }

    def _record(self, name: str, dataset: str | None, scores: Mapping[str, float]) -> Prompt:
        """All that is the same for a general and a task-specific prompt."""
        served = self._bench.served
        return Prompt(
            id=self._stores.prompts.new_id(),
            name=name,
            owner=self._owner,
            visibility=self._config.visibility,
            model=served.name,
            model_fingerprint=served.fingerprint,
            length=0,
            d_model=self._bench.config.d_model,
            created=utc_now(),
            dataset=dataset,
            initialization=initialization(self._spec),
            hyperparameters=self._settings,
            steps=self._spec.steps,
            scores={name: float(x) for name, x in scores.items() if math.isfinite(x)},
            tags=self._config.tags,
            licence=self._config.licence,
            contact=self._config.contact,
        )

    def _store(self, made: Sequence[tuple[Prompt, TaskPart]]) -> None:
        for record, part in made:
            save_part(self._stores.prompts.tensor_path(record.id), part)
        self._stores.prompts.add_all([record for record, _ in made])


def _means(scores: Mapping[int, Mapping[str, float]]) -> dict[str, float]:
    """The mean over the tasks of every score."""
    kinds = sorted({kind for found in scores.values() for kind in found})
    found = {kind: [x[kind] for x in scores.values() if kind in x] for kind in kinds}
    return {kind: sum(values) / len(values) for kind, values in found.items()}
