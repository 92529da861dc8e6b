"""The prompts of a multi-task run in the store: all of them are there, or none."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ptsys.engine.workbench import Workbench
from ptsys.errors import Conflict
from ptsys.kinds.trees import Tree
from ptsys.runs.prompt_plan import majority_score
from ptsys.runs.recording import made_before, record_all, run_maker
from ptsys.runs.run_training import Learned
from ptsys.runs.stores import Stores
from ptsys.runs.tasks.task import Task
from ptsys.store.prompts import refuse_taken_names
from ptsys.types.multitask import MultiTaskSpec
from ptsys.types.records import Prompt

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

    def there(self) -> Recorded | None:
        """The prompts, if an earlier run has made them.

        Raises Conflict if a name is taken by another prompt.
        """
        config, prompts, spec = self._config, self._stores.prompts, self._spec
        general = made_before(config, prompts, spec, self._bench.served)
        if general is None:
            with self._stores.database.reading() as session:
                refuse_taken_names(session, self._owner, spec.prompt_names)
            return None
        linked = {prompt.task: prompt for prompt in prompts.linked(general, self._owner)}
        own = [linked[of.name] for of in spec.tasks if of.name in linked]
        wanted = [of.dataset for of in spec.tasks]
        if len(linked) != len(own) or [prompt.dataset for prompt in own] != wanted:
            raise Conflict(
                f"prompt {spec.name!r} is there already, of other tasks or rows; choose another "
                f"{config.title}.name, or delete that one and its tasks'"
            )
        return Recorded(general, own, new=False)

    def record(self, learned: Learned) -> Recorded:
        """Store the tensors, then all records at once."""
        config, prompts = self._config, self._stores.prompts
        maker = run_maker(config, self._spec, self._bench.served)
        own, *specific = learned.completed.prompts
        general = maker.record(own, prompts.new_id(), licence=config.licence)
        made: list[tuple[Prompt, Tree]] = [(general, own.values)]
        for task, prompt in zip(self._tasks, specific, strict=True):
            record = maker.record(
                prompt,
                prompts.new_id(),
                general=general.id,
                description=task.description,
                licence=config.licence or task.licence,
            )
            made.append((record, prompt.values))
        record_all(prompts, made)
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
