"""The prompt that a run names: stored, in a file, or none."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ptsys.engine.workbench import Workbench
from ptsys.errors import InvalidInput, NotFound
from ptsys.prompts.check import check_prompt
from ptsys.prompts.formats import read_prompt
from ptsys.prompts.storage import load_whole
from ptsys.runs.stores import Stores

Array = NDArray[np.float32]


def named_prompt(
    reference: str | None, stores: Stores, user: str, bench: Workbench, field: str
) -> Array | None:
    """The tensor [P, D] that the model reads, None for the bare model.

    Raises InvalidInput, naming the field, if there is no such prompt for this user, and for one of
    other weights or width.
    """
    if reference is None:
        return None
    try:
        record = stores.prompts.get(reference, user)
    except NotFound as error:
        path = Path(reference).expanduser()
        if not path.exists():
            raise InvalidInput(f"{error}; nor is there such a file", field=field) from None
        return check_prompt(
            read_prompt(path), bench.config.d_model, model=bench.served.name, field=field
        )
    if record.model_fingerprint != bench.served.fingerprint:
        raise InvalidInput(
            f"prompt {record.name!r} was trained on model {record.model!r} with fingerprint "
            f"{record.model_fingerprint}, {bench.served.name!r} has {bench.served.fingerprint}",
            field=field,
        )
    if record.general is not None:
        stores.prompts.general_of(record, user)
    found = load_whole(stores.prompts, record)
    if found is None:
        raise InvalidInput(f"prompt {record.name!r} has no tokens of its own", field=field)
    return found


def identity(prompt: Array | None, bench: Workbench) -> str:
    """What decides answers: the weights, and the prompt's numbers."""
    told = b"" if prompt is None else np.ascontiguousarray(prompt).tobytes()
    return f"{bench.served.fingerprint} {hashlib.sha256(told).hexdigest()}"
