"""Multi-task prompts: a general and a task-specific prompt combined into the one the model reads,
and the combined prompt's gradient split again (WO2023022727A1, figure 10B).

The model sees only the combined prompt. Whoever trains, a multi-task job or a user's own loop, asks
for its gradient and splits it here: the combination is linear in every part, so each part's
gradient has a closed form and no automatic differentiation is needed. Letters: G general, T
task-specific and P combined prompt tokens, S = G + T (or G where there is no task-specific prompt),
D the model's width.
"""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from ptsys.errors import InvalidInput
from ptsys.types.multitask import Combination as Method

__all__ = ["Affine", "Method", "SplitGradient", "TaskPart", "combine", "split_gradient"]

METHODS: tuple[Method, ...] = get_args(Method)

_Scalar = TypeVar("_Scalar", bound=np.floating[Any])


@dataclasses.dataclass(frozen=True)
class Affine:
    """A learned affine map over prompt tokens: `matrix` [P, S] and `bias` [P, D].

    Row p of the combined prompt is the sum of the S source rows weighted by `matrix[p]`, plus
    `bias[p]`. With S = G + T it projects the concatenation; with S = G the general prompt alone,
    and the map itself is what is specific to the task.
    """

    matrix: NDArray[np.floating[Any]]
    bias: NDArray[np.floating[Any]]

    @classmethod
    def identity(cls, length: int, sources: int, width: int) -> Affine:
        """Where training starts: the combined prompt is the last `length` of the `sources` rows,
        those next to the input, and a longer one begins with zeros; float32, no bias."""
        matrix = np.eye(length, sources, k=sources - length, dtype=np.float32)
        return cls(matrix, np.zeros((length, width), np.float32))


@dataclasses.dataclass(frozen=True)
class TaskPart:
    """What is stored of one task: its own rows [T, D], None where the general prompt alone is
    projected, and its affine map, None for the other methods."""

    rows: NDArray[np.float32] | None
    affine: Affine | None = None

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """What it has, by the names under which it is stored: `prompt`, `matrix` and `bias`."""
        rows = {} if self.rows is None else {"prompt": self.rows}
        if self.affine is None:
            return rows
        return rows | {"matrix": self.affine.matrix, "bias": self.affine.bias}

    def with_general(self, general: NDArray[np.float32], method: Method) -> NDArray[np.float32]:
        """The prompt [P, D] that the model reads. Raises InvalidInput as `combine` does."""
        return combine(general, self.rows, method=method, affine=self.affine)


@dataclasses.dataclass(frozen=True)
class SplitGradient:
    """Gradients of the parts, each in its part's shape; None for a part that is not there.

    A general prompt that several tasks share has the sum of its gradients over the tasks.
    """

    general: NDArray[np.floating[Any]]
    task: NDArray[np.floating[Any]] | None
    affine: Affine | None


def combine(
    general: NDArray[_Scalar],
    task: NDArray[_Scalar] | None = None,
    *,
    method: Method = "concat",
    affine: Affine | None = None,
) -> NDArray[_Scalar]:
    """The prompt [P, D] that goes before the input, from `general` [G, D] and `task` [T, D].

    - add: `general + task`; G = T = P.
    - concat: general rows first, task-specific rows next to the input; P = G + T.
    - affine: `affine.matrix @ [general; task] + affine.bias`, or of `general` alone where there
      is no task-specific prompt; P is the map's.

    The parts' precision is kept. Raises InvalidInput, naming the part, for shapes that do not fit.
    """
    _check(general, task, method, affine)
    if method == "add" and task is not None:
        return general + task
    rows = _stacked(general, task)
    if affine is None:
        return rows
    combined: NDArray[_Scalar] = affine.matrix.astype(rows.dtype, copy=False) @ rows
    return combined + affine.bias.astype(rows.dtype, copy=False)


def split_gradient(
    gradient: NDArray[_Scalar],
    general: NDArray[_Scalar],
    task: NDArray[_Scalar] | None = None,
    *,
    method: Method = "concat",
    affine: Affine | None = None,
) -> SplitGradient:
    """The gradients of the parts from `gradient` [P, D], that of `combine(...)` of the same parts.

    With C the combined prompt's gradient and X = [general; task] [S, D], by the chain rule:

    - add: both parts have C.
    - concat: the general prompt has C's first G rows, the task-specific one the last T.
    - affine: X has `matrix.T @ C`, split as in concat; the matrix [P, S] has `C @ X.T`, the bias
      [P, D] has C.

    Returned arrays are the caller's own. Raises InvalidInput as `combine` does.
    """
    _check(general, task, method, affine)
    expected = _combined_shape(general, task, method, affine)
    if gradient.shape != expected:
        raise InvalidInput(
            f"the gradient has shape {list(gradient.shape)}, the combined prompt "
            f"{list(expected)}; give the gradient of combine(...) of the same parts",
            field="gradient",
        )
    if method == "add":
        return SplitGradient(gradient.copy(), gradient.copy(), None)
    if affine is None:
        return _divided(gradient, general, task, None)
    rows = _stacked(general, task)
    of_map = Affine(gradient @ rows.T, gradient.copy())
    of_rows: NDArray[_Scalar] = affine.matrix.astype(gradient.dtype, copy=False).T @ gradient
    return _divided(of_rows, general, task, of_map)


def _divided(
    of_rows: NDArray[_Scalar],
    general: NDArray[_Scalar],
    task: NDArray[_Scalar] | None,
    of_map: Affine | None,
) -> SplitGradient:
    """The gradient of the stacked rows [S, D], part by part."""
    length = len(general)
    own = None if task is None else of_rows[length:].copy()
    return SplitGradient(of_rows[:length].copy(), own, of_map)


def _stacked(general: NDArray[_Scalar], task: NDArray[_Scalar] | None) -> NDArray[_Scalar]:
    return general if task is None else np.concatenate([general, task])


def _combined_shape(
    general: NDArray[Any], task: NDArray[Any] | None, method: Method, affine: Affine | None
) -> tuple[int, int]:
    length, width = general.shape
    if method == "concat" and task is not None:
        length += len(task)
    return (length if affine is None else len(affine.matrix)), width


def _check(
    general: NDArray[Any], task: NDArray[Any] | None, method: Method, affine: Affine | None
) -> None:
    if method not in METHODS:
        raise InvalidInput(
            f"unknown method {method!r}; choose add, concat or affine", field="method"
        )
    for name, part in (("general", general), ("task", task)):
        if part is not None and part.ndim != 2:
            raise InvalidInput(
                f"the {name} prompt has shape {list(part.shape)}; a prompt is [length, width]",
                field=name,
            )
    if task is None and method != "affine":
        raise InvalidInput(
            f"method {method!r} needs a task-specific prompt; only affine does without",
            field="task",
        )
    if task is not None and task.shape[1] != general.shape[1]:
        raise InvalidInput(
            f"the task-specific prompt has width {task.shape[1]}, the general prompt "
            f"{general.shape[1]}; both must be of the same model",
            field="task",
        )
    if method == "add" and task is not None and len(task) != len(general):
        raise InvalidInput(
            f"added prompts have one length; these have {len(general)} and {len(task)}",
            field="task",
        )
    _check_affine(general, task, method, affine)


def _check_affine(
    general: NDArray[Any], task: NDArray[Any] | None, method: Method, affine: Affine | None
) -> None:
    if (affine is not None) != (method == "affine"):
        wanted = "needs an affine map" if method == "affine" else "takes no affine map"
        raise InvalidInput(f"method {method!r} {wanted}", field="affine")
    if affine is None:
        return
    sources = len(general) + (0 if task is None else len(task))
    if affine.matrix.ndim != 2 or affine.matrix.shape[1] != sources:
        raise InvalidInput(
            f"the affine map's matrix has shape {list(affine.matrix.shape)}; it must be "
            f"[length, {sources}], a column for every row of the parts",
            field="affine",
        )
    expected = (len(affine.matrix), general.shape[1])
    if affine.bias.shape != expected:
        raise InvalidInput(
            f"the affine map's bias has shape {list(affine.bias.shape)}; its matrix and the "
            f"prompts make it {list(expected)}",
            field="affine",
        )
