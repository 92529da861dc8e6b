"""The prompt kinds of multi-task training: one general part and one part a task, joined by `add`,
`concat` or `affine` (WO2023022727A1, figure 10B; see `ptsys.prompts.multitask.combine`).

Arrays: `general` [G, D], and of N tasks `task` [N, T, D], `matrix` [N, P, S] and `bias` [N, P, D],
as far as a combination has them. A task is a member; the model reads its combined prompt.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from ptsys.errors import InvalidInput
from ptsys.kinds.prompt_kind import Reader
from ptsys.kinds.trees import Layout, Leaf, Shapes, Tree
from ptsys.prompts.check import check_prompt
from ptsys.prompts.multitask import Affine, TaskPart
from ptsys.prompts.tokens import NAME, TOKENS
from ptsys.types.multitask import MOST_TASKS, Combination, MultiTaskSpec
from ptsys.types.training import JobSpec, Optimizer

PARTS = ("task", "matrix", "bias")  # of every task


@dataclasses.dataclass(frozen=True)
class Multitask:
    """See `ptsys.kinds.prompt_kind.PromptKind`."""

    name: Combination

    def shapes(self, length: int, model: Any) -> Shapes:
        """A general part and a task's, both so long, and where there is one their map."""
        width, added = model.d_model, self.name == "add"
        rows = length if added else 2 * length
        shapes: dict[str, tuple[int, ...]] = {
            "general": (length, width),
            "task": (1, length, width),
        }
        if self.name == "affine":
            shapes |= {"matrix": (1, rows, rows), "bias": (1, rows, width)}
        return shapes

    def start(self, rows: NDArray[np.float32], model: Any) -> Tree:
        """Of one task: its combined prompt ends with these tokens. Jobs begin with `begin`."""
        own = np.zeros_like(rows) if self.name == "add" else np.array(rows)
        tree: Tree = {"general": np.array(rows), "task": own[None]}
        if self.name == "affine":
            affine = Affine.identity(2 * len(rows), 2 * len(rows), rows.shape[1])
            tree |= {"matrix": affine.matrix[None], "bias": affine.bias[None]}
        return tree

    def starts_at(self, initialization: str) -> bool:
        """Any of them."""
        return True

    def layout(self, shapes: Shapes) -> Layout:
        """Lengths as they are, and room for a power of two of tasks."""
        general = shapes["general"]
        tasks = {name: shapes[name] for name in PARTS if name in shapes}
        count = next(iter(tasks.values()))[0]
        if not 1 <= count <= MOST_TASKS:
            raise InvalidInput(f"there are {count} tasks; the most is {MOST_TASKS}", field="tasks")
        room = 1 << (count - 1).bit_length()
        own = tuple(Leaf(name, shape[1:], room) for name, shape in tasks.items())
        return Layout(self.name, (Leaf("general", general), *own), self._positions(shapes))

    def _positions(self, shapes: Shapes) -> int:
        if self.name == "affine":
            return shapes["bias"][1]
        general = shapes["general"][0]
        return general if self.name == "add" else general + shapes["task"][1]

    def check(self, tree: Mapping[str, NDArray[Any]], model: Any, name: str | None = None) -> Tree:
        """Every part as `check_prompt` has it; a matrix may have any width."""
        checked: Tree = {}
        for part, array in tree.items():
            width = None if part == "matrix" else model.d_model
            rows = array.reshape(-1, array.shape[-1])
            most = max(len(rows), 1)
            flat = check_prompt(rows, width, model=name, max_length=most, field=part)
            checked[part] = flat.reshape(array.shape)
        return checked

    def penalty(self, values: Any, layout: Layout, reader: Reader) -> Any:
        """None."""
        return None

    def resolve(self, values: Any, length: Any, layout: Layout, reader: Reader) -> tuple[Any, Any]:
        """The combined prompts of all tasks."""
        slots, count = len(values["general"]), layout.members
        one = values["general"][:, None]
        general = jnp.broadcast_to(one, (slots, count, *one.shape[2:]))
        combined = self._combined(general, values)
        combined = combined.reshape(slots * count, *combined.shape[2:])
        whole = jnp.where(length["general"] > 0, combined.shape[1], 0).astype(jnp.int32)
        return {NAME: combined}, {NAME: jnp.repeat(whole, count)}

    def _combined(self, general: jax.Array, values: Any) -> jax.Array:
        """Of `general` [U, N, G, D] and the tasks' parts."""
        if self.name == "add":
            added: jax.Array = general + values["task"]
            return added
        rows = jnp.concatenate([general, values["task"]], axis=2) if "task" in values else general
        if self.name == "concat":
            return rows
        mapped: jax.Array = values["bias"] + jnp.matmul(values["matrix"], rows, precision="highest")
        return mapped

    def reading(self, tree: Tree, member: int = 0) -> Tree:
        """The combined prompt of one task."""
        return {NAME: task_part(tree, member).with_general(tree["general"], self.name)}

    def compared(self, tree: Tree, start: NDArray[np.float32]) -> NDArray[np.float32]:
        """The change of the combined prompt of the first task. Jobs store their prompts apart, as
        soft tokens each, and these compare with all others."""
        return TOKENS.compared(self.reading(tree), start)

    def optimizers(self, spec: JobSpec) -> Mapping[str, Optimizer]:
        """An affine map has a rate of its own, and no decay, which would pull it away from the
        identity."""
        if self.name != "affine" or not isinstance(spec, MultiTaskSpec):
            return {}
        changes = {"learning_rate": spec.affine_rate, "weight_decay": 0.0}
        own = spec.optimizer.model_copy(update=changes)
        return {"matrix": own, "bias": own}


def task_part(tree: Tree, task: int) -> TaskPart:
    """What is specific to the task of that number."""
    rows, matrix, bias = (tree[name][task] if name in tree else None for name in PARTS)
    affine = Affine(matrix, bias) if matrix is not None and bias is not None else None
    return TaskPart(rows, affine)


def begin(spec: MultiTaskSpec, start: NDArray[np.float32]) -> Tree:
    """Parts of which every combined prompt is what `start` [source_length, D] is: of added parts
    the general one is all of it, an affine map takes its last rows."""
    count = len(spec.tasks)
    general, task = start[: spec.length], start[spec.length :]
    if spec.combination == "add":
        general, task = start, np.zeros_like(start)
    tree: Tree = {"general": np.array(general)}
    if len(task):
        tree["task"] = np.repeat(task[None], count, axis=0)
    if spec.combination == "affine":
        affine = Affine.identity(spec.prompt_length, len(start), start.shape[1])
        tree["matrix"] = np.repeat(affine.matrix[None], count, axis=0)
        tree["bias"] = np.repeat(affine.bias[None], count, axis=0)
    return tree


ADD, CONCAT, AFFINE = Multitask("add"), Multitask("concat"), Multitask("affine")
