"""The prompt that a run names: stored, in a file, or none."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from ptsys.engine.workbench import Workbench
from ptsys.errors import InvalidInput, NotFound
from ptsys.kinds.registry import kind_of
from ptsys.kinds.trees import Tree
from ptsys.prompts.check import check_prompt
from ptsys.prompts.formats import read_tree
from ptsys.prompts.storage import load_reading
from ptsys.runs.stores import Stores


def named_prompt(
    reference: str | None, stores: Stores, user: str, bench: Workbench, field: str
) -> Tree | None:
    """The prompt that the model reads, of any kind, None for the bare model.

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
        tree = read_tree(path, decoder_layers=bench.config.decoder_layers)
        if set(tree) != {"prompt"}:
            return kind_of(tree).check(tree, bench.config, bench.served.name)
        width, name = bench.config.d_model, bench.served.name
        return {"prompt": check_prompt(tree["prompt"], width, model=name, field=field)}
    if record.model_fingerprint != bench.served.fingerprint:
        raise InvalidInput(
            f"prompt {record.name!r} was trained on model {record.model!r} with fingerprint "
            f"{record.model_fingerprint}, {bench.served.name!r} has {bench.served.fingerprint}",
            field=field,
        )
    if record.general is not None:
        stores.prompts.general_of(record, user)
    found = load_reading(stores.prompts, record)
    if found is None:
        raise InvalidInput(f"prompt {record.name!r} has no tokens of its own", field=field)
    return found


def identity(prompt: Tree | None, bench: Workbench) -> str:
    """What decides answers: the weights, and the prompt's numbers."""
    arrays = sorted((prompt or {}).items())
    told = b"".join(np.ascontiguousarray(array).tobytes() for _, array in arrays)
    return f"{bench.served.fingerprint} {hashlib.sha256(told).hexdigest()}"
