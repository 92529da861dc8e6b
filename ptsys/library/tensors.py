"""A stored prompt as the model reads it, and the part of the shared start where it began."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ptsys.errors import NotFound
from ptsys.kinds.trees import Tree
from ptsys.prompts.orbax_form import read_orbax, read_part, read_tree
from ptsys.prompts.tokens import as_tree
from ptsys.store.prompts import Prompts
from ptsys.types.records import Prompt


def whole_prompt(prompts: Prompts, prompt: Prompt) -> Tree:
    """A prompt of any kind, of a task-specific one its combination with its general one.

    Raises NotFound if a tensor is gone, Damaged or Unavailable if one cannot be read, InvalidInput
    if two do not fit together.
    """
    path = prompts.tensor_path(prompt.id)
    if prompt.general is None or prompt.combination is None:
        return read_tree(path)
    part = read_part(path, prompt.combination, prompt.length)
    try:
        general = read_orbax(prompts.tensor_path(prompt.general))
    except NotFound:
        if part.rows is None:
            raise
        return as_tree(part.rows)  # those next to the input, so they compare by themselves
    return as_tree(part.with_general(general, prompt.combination))


def start_of(prompt: Prompt, start: NDArray[np.float32]) -> NDArray[np.float32]:
    """The rows of the shared start [S, D] at whose end `whole_prompt` began.

    A general prompt to which tasks' own tokens are appended began before theirs.
    """
    settings = prompt.hyperparameters
    if prompt.general is not None or settings.get("combination") not in ("concat", "affine"):
        return start
    behind = settings.get("task_length")
    behind = prompt.length if behind is None else int(behind)
    return start[: max(len(start) - behind, 0)]
