"""A stored prompt as the model reads it, and the part of the shared start where it began."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ptsys.errors import InvalidInput, NotFound
from ptsys.prompts.orbax_form import read_orbax, read_part
from ptsys.store.prompts import Prompts
from ptsys.types.records import Prompt
from ptsys.types.training import TOKENS


def whole_prompt(prompts: Prompts, prompt: Prompt) -> NDArray[np.float32]:
    """The tensor [P, D], of a task-specific prompt its combination with its general one.

    Raises NotFound if a tensor is gone, Unavailable if one is damaged, InvalidInput if two do not
    fit together.
    """
    if prompt.kind != TOKENS:
        raise InvalidInput(
            f"prompt {prompt.name!r} is of the kind {prompt.kind!r}; the library compares soft "
            "tokens with one another alone",
            field="prompt",
        )
    path = prompts.tensor_path(prompt.id)
    if prompt.general is None or prompt.combination is None:
        return read_orbax(path)
    part = read_part(path, prompt.combination, prompt.length)
    try:
        general = read_orbax(prompts.tensor_path(prompt.general))
    except NotFound:
        if part.rows is None:
            raise
        return part.rows  # those next to the input, so they compare by themselves
    return part.with_general(general, prompt.combination)


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
