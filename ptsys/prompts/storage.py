"""The tensors of stored prompts: one Orbax checkpoint each, at `Prompts.tensor_path(id)`.

Imports jax; nothing of the light half of ptsys may import this module.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from numpy.typing import NDArray

from ptsys.errors import Conflict, InvalidInput, NotFound
from ptsys.prompts.check import check_prompt
from ptsys.prompts.multitask import Affine, TaskPart
from ptsys.store.checkpoints import checkpointer
from ptsys.store.durable import keep, make_folder
from ptsys.store.faults import unreadable, unwritable
from ptsys.store.prompts import REMEDY, Prompts
from ptsys.types.records import Prompt

_KEY = "prompt"


def save_tensor(path: epath.PathLike, array: NDArray[Any]) -> None:
    """Write a prompt [P, D] as float32 to `path`, a folder or a bucket's prefix.

    It appears whole or not at all, and is on the disk when this returns; threads may save different
    tensors at once. Raises Conflict if something is there already, since a stored prompt never
    changes; InvalidInput if the array is no prompt; Unavailable if the place cannot be written.
    """
    _save(path, {_KEY: check_prompt(array, None)})


def save_part(path: epath.PathLike, part: TaskPart) -> None:
    """Write what is specific to a task, as `save_tensor` does: its rows as `prompt` [T, D], and
    its affine map as `matrix` [P, S] and `bias` [P, D] beside them; what it lacks is left out."""
    arrays = {} if part.rows is None else {_KEY: check_prompt(part.rows, None)}
    if part.affine is not None:
        arrays |= {"matrix": part.affine.matrix, "bias": part.affine.bias}
    _save(path, {name: np.asarray(array, np.float32) for name, array in arrays.items()})


def load_tensor(path: epath.PathLike) -> NDArray[np.float32]:
    """The prompt [P, D] stored at `path`, in host memory.

    Raises NotFound if there is none, Damaged if what is there is damaged or no prompt, Unavailable
    if it cannot be read at present, InvalidInput if it is an affine map alone.
    """
    rows = load_part(path).rows
    if rows is None:
        raise InvalidInput(
            "this task-specific prompt is an affine map and has no tokens of its own; only its "
            "combination with the general prompt has",
            field=_KEY,
        )
    return rows


def load_part(path: epath.PathLike) -> TaskPart:
    """A stored prompt with all that belongs to it. Raises as `load_tensor`."""
    source = epath.Path(path)
    if not source.exists():
        raise NotFound(f"no tensor is stored for {source.name}")
    try:
        with checkpointer() as orbax:
            found = {name: np.asarray(array) for name, array in orbax.restore(source).items()}
        affine = Affine(found["matrix"], found["bias"]) if "matrix" in found else None
        rows = found[_KEY] if affine is None else found.get(_KEY)
        return TaskPart(None if rows is None else check_prompt(rows, None), affine)
    except Exception as error:  # Orbax and TensorStore raise many kinds for damaged files
        raise unreadable(f"the tensor of {source.name}", source, error, REMEDY) from error


def load_whole(prompts: Prompts, prompt: Prompt) -> NDArray[np.float32] | None:
    """A stored prompt [P, D] as the model reads it: a task-specific one with its general one,
    whoever may see either. None if it is an affine map that stands alone. Raises as `load_tensor`.
    """
    part = load_part(prompts.tensor_path(prompt.id))
    if prompt.general is None or prompt.combination is None:
        return part.rows
    general = load_part(prompts.tensor_path(prompt.general)).rows
    assert general is not None
    return part.with_general(general, prompt.combination)


def _save(path: epath.PathLike, arrays: dict[str, NDArray[np.float32]]) -> None:
    target = epath.Path(path)
    try:
        make_folder(target.parent)
        with checkpointer() as orbax:
            orbax.save(target, args=ocp.args.StandardSave(arrays))
        keep(target)
    except (ValueError, OSError) as error:
        if isinstance(error, ValueError) and target.exists():
            raise Conflict(f"a tensor is already stored for {target.name}") from error
        raise unwritable("the prompt's tensor", target, error) from error
