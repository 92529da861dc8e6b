"""Multi-task training on an engine (WO2023022727A1, figure 10B).

The device sees combined prompts alone: a step asks for one gradient a task, all at once, so that
the engine puts them into one batch with whatever other users want. What is learned, the parts,
and its optimizer states stay on the host, where they are combined, split and updated; they are
small. Letters as in `ptsys.prompts.multitask`; N tasks.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ptsys.data.features import EncodedExamples
from ptsys.data.metrics import Scorer, summarize
from ptsys.data.task_mixing import TaskMix, task_shares
from ptsys.engine.engine import Engine
from ptsys.engine.operations import GradientsResult
from ptsys.engine.requests import Asked, join_gradients
from ptsys.errors import InvalidInput
from ptsys.passes.parts import Parts
from ptsys.prompts.multitask import Affine, SplitGradient, TaskPart, split_gradient
from ptsys.types.multitask import MultiTaskSpec

T = TypeVar("T")
Wait = Callable[[concurrent.futures.Future[Any]], Any]
"""Waits for a future of the engine and gives its result; may raise to end the training."""

Array = NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class TaskData:
    """A task's rows, encoded, and those it is scored on."""

    examples: EncodedExamples
    validation_inputs: Sequence[str] = ()
    validation_targets: Sequence[str] = ()
    score: Scorer = summarize


@dataclasses.dataclass(frozen=True)
class MultiTaskProgress:
    """The last step: its loss before the update (nats a token, over all tasks' target tokens), the
    norm of the gradient of all parts, and each task's loss when it was last drawn, [N]."""

    loss: float
    gradient_norm: float
    task_losses: NDArray[np.float32]


class MultiTaskTraining:
    """One job's parts as they learn. `step` counts the updates made."""

    def __init__(
        self, engine: Engine, spec: MultiTaskSpec, user: str, tasks: Sequence[TaskData]
    ) -> None:
        """Nothing is initialized yet: `begin`, or `restore` a state."""
        self.step = 0
        self.progress = MultiTaskProgress(
            math.nan, math.nan, np.full((len(tasks),), np.nan, np.float32)
        )
        self._engine = engine
        self._spec = spec
        self._user = user
        self._tasks = tasks
        sizes = tuple(len(task.examples) for task in tasks)
        shares = task_shares(
            sizes,
            spec.mixing,
            rates=[task.rate or 0.0 for task in spec.tasks],
            size_limit=spec.size_limit,
        )
        self._mix = TaskMix(sizes, tuple(shares.tolist()), spec.batch_size, spec.seed)
        self._parts: dict[str, Parts] = {}

    # ---- what is learned ------------------------------------------------------------------

    def begin(self, start: Array) -> None:
        """Start so that every combined prompt is what `start` [source_length, D] is: of added
        parts the general one is all of it, an affine map takes its last rows."""
        spec, count = self._spec, len(self._tasks)
        general = start[: spec.length]
        task = start[spec.length :]
        if spec.combination == "add":
            general, task = start, np.zeros_like(start)
        first = {"general": general[None]}
        if len(task):
            first["task"] = np.repeat(task[None], count, axis=0)
        if spec.combination == "affine":
            affine = Affine.identity(spec.prompt_length, len(start), start.shape[1])
            first["matrix"] = np.repeat(affine.matrix[None], count, axis=0)
            first["bias"] = np.repeat(affine.bias[None], count, axis=0)
        self._parts = {
            name: Parts.start(np.asarray(value, np.float32)) for name, value in first.items()
        }

    def state(self) -> dict[str, Any]:
        """All that a checkpoint needs: arrays in nested dictionaries."""
        parts: dict[str, Any] = {name: part.tree() for name, part in self._parts.items()}
        told = self.progress
        losses = np.array([told.loss, told.gradient_norm, *told.task_losses], np.float32)
        return parts | {"losses": losses}

    def restore(self, step: int, state: Mapping[str, Any]) -> None:
        """Go on from a `state` after `step` updates."""
        self.step = step
        loss, norm = state["losses"][:2].tolist()
        self.progress = MultiTaskProgress(loss, norm, np.array(state["losses"][2:]))
        self._parts = {name: Parts.of(tree) for name, tree in state.items() if name != "losses"}

    @property
    def general(self) -> Array:
        """The general prompt [G, D]."""
        general: Array = self._parts["general"].value[0]
        return general

    def part(self, task: int) -> TaskPart:
        """What is specific to the task of that number."""
        rows, matrix, bias = (
            self._parts[name].value[task] if name in self._parts else None
            for name in ("task", "matrix", "bias")
        )
        affine = Affine(matrix, bias) if matrix is not None and bias is not None else None
        return TaskPart(rows, affine)

    def combined(self, task: int) -> Array:
        """The prompt [P, D] that the model reads for the task of that number."""
        return self.part(task).with_general(self.general, self._spec.combination)

    # ---- learning -------------------------------------------------------------------------

    def advance(self, wait: Wait) -> None:
        """Make one step; if `wait` raises, none was made.

        The loss is the mean over all target tokens of the batch, as in a job of one task: a task
        weighs as much as its tokens. Tasks that are not in the batch keep their bits. Raises
        InvalidInput when the loss or a part is no longer finite.
        """
        found = {task: wait(future) for task, future in self._ask().items()}
        tokens = sum(result.tokens for result in found.values())
        loss = sum(result.loss * result.tokens for result in found.values()) / tokens
        gradients = self._split(found, tokens)
        losses = self.progress.task_losses.copy()
        for task, result in found.items():
            losses[task] = result.loss
        squares = sum(float(np.sum(np.square(x, dtype=np.float64))) for _, x in gradients.values())
        self.progress = MultiTaskProgress(loss, math.sqrt(squares), losses)
        for name, (which, gradient) in gradients.items():
            optimizer = self._spec.optimizer
            if name in ("matrix", "bias"):  # decay would pull the map away from the identity
                changes = {"learning_rate": self._spec.affine_rate, "weight_decay": 0.0}
                optimizer = optimizer.model_copy(update=changes)
            self._parts[name].advance(which, gradient, optimizer, self.step, self._spec.steps)
        self.step += 1
        self._check_finite(list(found))

    def _ask(self) -> dict[int, concurrent.futures.Future[GradientsResult]]:
        """Every task's gradient, on its way; more rows than a call may hold go in several."""
        asked: dict[int, list[Asked]] = defaultdict(list)
        most = self._engine.options.max_rows
        for task, rows in self._mix.rows(self.step).items():
            examples, prompt = self._tasks[task].examples, self.combined(task)
            for start in range(0, len(rows), most):
                part = rows[start : start + most].tolist()
                future = self._engine.encoded_gradients(
                    [examples.inputs[row] for row in part],
                    [examples.targets[row] for row in part],
                    prompt,
                    user=self._user,
                    longest=examples.longest,
                )
                asked[task].append(Asked(range(start, start + len(part)), future))
        return {task: join_gradients(parts) for task, parts in asked.items()}

    def _split(
        self, found: Mapping[int, GradientsResult], tokens: int
    ) -> dict[str, tuple[list[int], Array]]:
        """Of each part's name: which of its arrays have a gradient, and those, [U, P, D]."""
        tasks = list(found)
        split = [self._split_one(task, found[task], tokens) for task in tasks]
        shared = _stacked([one.general for one in split]).sum(axis=0, keepdims=True)
        gradients = {"general": ([0], shared)}
        if "task" in self._parts:
            gradients["task"] = (tasks, _stacked([one.task for one in split]))
        maps = [one.affine for one in split if one.affine is not None]
        if maps:
            gradients["matrix"] = (tasks, _stacked([one.matrix for one in maps]))
            gradients["bias"] = (tasks, _stacked([one.bias for one in maps]))
        return gradients

    def _split_one(self, task: int, result: GradientsResult, tokens: int) -> SplitGradient:
        part = self.part(task)
        return split_gradient(
            result.gradient * np.float32(result.tokens / tokens),
            self.general,
            part.rows,
            method=self._spec.combination,
            affine=part.affine,
        )

    def _check_finite(self, tasks: Sequence[int]) -> None:
        wrong = [task for task in tasks if not np.isfinite(self.combined(task)).all()]
        wrong += [task for task in tasks if not math.isfinite(self.progress.task_losses[task])]
        if wrong:
            raise InvalidInput(
                f"the loss or the prompt of task {self._spec.tasks[wrong[0]].name!r} was no longer "
                f"finite at step {self.step}; lower the learning rate or look for broken rows"
            )

    # ---- scores ---------------------------------------------------------------------------

    @property
    def scored(self) -> bool:
        """Some task has rows to be scored on."""
        return any(task.validation_inputs for task in self._tasks)

    def evaluate(self, wait: Wait) -> dict[int, dict[str, float]]:
        """The scores of every task that has rows for it, by its number."""
        asked = {}
        for number, task in enumerate(self._tasks):
            if task.validation_inputs:
                asked[number] = self._engine.evaluate(
                    task.validation_inputs,
                    task.validation_targets,
                    self.combined(number),
                    self._user,
                )
        return {
            number: self._tasks[number].score(
                [row.prediction for row in wait(future)],
                list(self._tasks[number].validation_targets),
            )
            for number, future in asked.items()
        }


def _stacked(arrays: Sequence[NDArray[Any] | None]) -> Array:
    return np.stack([np.asarray(array, np.float32) for array in arrays])
