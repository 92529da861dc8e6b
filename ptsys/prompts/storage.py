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
from ptsys.store.checkpoints import checkpointer

_KEY = "prompt"


def save_tensor(path: epath.PathLike, array: NDArray[Any]) -> None:
    """Write a prompt [P, D] as float32 to `path`, a folder or a bucket's prefix.

    It appears whole or not at all; threads may save different tensors at once. Raises Conflict if
    something is there already, since a stored prompt never changes; InvalidInput if the array is
    no prompt.
    """
    prompt = check_prompt(array, None)
    target = epath.Path(path)
    try:
        with checkpointer() as orbax:
            orbax.save(target, args=ocp.args.StandardSave({_KEY: prompt}))
    except ValueError as error:
        if target.exists():
            raise Conflict(f"a tensor is already stored at {target}") from error
        raise


def load_tensor(path: epath.PathLike) -> NDArray[np.float32]:
    """The prompt [P, D] stored at `path`, in host memory.

    Raises NotFound if there is none, InvalidInput if what is there is damaged or no prompt.
    """
    source = epath.Path(path)
    if not source.exists():
        raise NotFound(f"no tensor is stored at {source}")
    try:
        with checkpointer() as orbax:
            restored = orbax.restore(source)
        tensor = np.asarray(restored[_KEY])
    except Exception as error:  # Orbax and TensorStore raise many kinds for damaged files
        reason = str(error).split("\n")[0]
        raise InvalidInput(f"the tensor stored at {source} is damaged: {reason}") from error
    return check_prompt(tensor, None)
