"""The tensors of stored prompts: one Orbax checkpoint each, at `Prompts.tensor_path(id)`.

Imports jax; nothing of the light half of ptsys may import this module.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from numpy.typing import NDArray

from ptsys.errors import Conflict, InvalidInput, NotFound
from ptsys.kinds.trees import Tree
from ptsys.prompts.check import check_numbers, check_prompt
from ptsys.prompts.multitask import Affine, TaskPart
from ptsys.store.checkpoints import checkpointer
from ptsys.store.durable import keep, make_folder
from ptsys.store.faults import unreadable, unwritable
from ptsys.store.prompts import REMEDY, Prompts
from ptsys.types.records import Prompt
from ptsys.types.training import TOKENS

_KEY = "prompt"


def save_tree(path: epath.PathLike, tree: Mapping[str, NDArray[Any]]) -> None:
    """Write a prompt's arrays as float32 to `path`, a folder or a bucket's prefix, by their names.

    They appear whole or not at all, and are on the disk when this returns; threads may save
    different prompts at once. Raises Conflict if something is there already, since a stored prompt
    never changes; InvalidInput if an array is no prompt's; Unavailable if the place cannot be
    written.
    """
    if not tree:
        raise InvalidInput("a prompt has at least one array", field=_KEY)
    target = epath.Path(path)
    arrays = {name: check_numbers(np.asarray(array), name) for name, array in tree.items()}
    try:
        make_folder(target.parent)
        with checkpointer() as orbax:
            orbax.save(target, args=ocp.args.StandardSave(arrays))
        keep(target)
    except (ValueError, OSError) as error:
        if isinstance(error, ValueError) and target.exists():
            raise Conflict(f"a tensor is already stored for {target.name}") from error
        raise unwritable("the prompt's tensor", target, error) from error


def load_part(path: epath.PathLike) -> TaskPart:
    """A stored prompt of soft tokens with all that belongs to it. Raises as `load_tree`, Damaged
    also for what is no prompt."""
    tree = load_tree(path)
    try:
        affine = Affine(tree["matrix"], tree["bias"]) if "matrix" in tree else None
        rows = tree[_KEY] if affine is None else tree.get(_KEY)
        return TaskPart(None if rows is None else check_prompt(rows, None), affine)
    except (KeyError, InvalidInput) as error:
        source = epath.Path(path)
        raise unreadable(f"the tensor of {source.name}", source, error, REMEDY) from error


def load_tree(path: epath.PathLike) -> Tree:
    """All arrays of a stored prompt by their names. Raises NotFound if there is none, Damaged if
    what is there is damaged, Unavailable if it cannot be read at present."""
    source = epath.Path(path)
    if not source.exists():
        raise NotFound(f"no tensor is stored for {source.name}")
    try:
        with checkpointer() as orbax:
            stored = orbax.restore(source)
        return {name: np.asarray(array, np.float32) for name, array in stored.items()}
    except Exception as error:  # Orbax and TensorStore raise many kinds for damaged files
        raise unreadable(f"the tensor of {source.name}", source, error, REMEDY) from error


def load_reading(prompts: Prompts, prompt: Prompt) -> Tree | None:
    """A stored prompt of any kind as the model reads it, a task-specific one with its general one.
    None if it is an affine map that stands alone. Raises as `load_part`."""
    if prompt.kind != TOKENS:
        return load_tree(prompts.tensor_path(prompt.id))
    rows = load_whole(prompts, prompt)
    return None if rows is None else {_KEY: rows}


def load_whole(prompts: Prompts, prompt: Prompt) -> NDArray[np.float32] | None:
    """A stored prompt [P, D] as the model reads it: a task-specific one with its general one,
    whoever may see either. None if it is an affine map that stands alone. Raises as `load_part`.
    """
    part = load_part(prompts.tensor_path(prompt.id))
    if prompt.general is None or prompt.combination is None:
        return part.rows
    general = load_part(prompts.tensor_path(prompt.general)).rows
    assert general is not None
    return part.with_general(general, prompt.combination)
