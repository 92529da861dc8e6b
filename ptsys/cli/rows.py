"""Rows of a file on their way in: read, checked at the door, and stored once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ptsys.cli.failures import naming
from ptsys.cli.output import note
from ptsys.errors import Conflict, NotFound

if TYPE_CHECKING:
    from ptsys.jobs.limits import ModelLimits
    from ptsys.jobs.service import Service
    from ptsys.types.example import Example
    from ptsys.types.input_notes import InputNotes
    from ptsys.types.records import Dataset


def read(path: Path, field: str, *, targets: bool = True) -> list[Example]:
    """The rows of a JSONL file. Raises InvalidInput that names file, line and fix."""
    from ptsys.data.examples import read_examples

    with naming(path, field):
        return read_examples(path, require_target=targets)


def check(
    path: Path,
    examples: Sequence[Example],
    limits: ModelLimits,
    field: str,
    *,
    truncate: bool,
    unsupervised: bool = False,
) -> None:
    """Raise InvalidInput for a target that the model cannot learn, and unless `truncate` for an
    input that is too long; say what is not read, and where rows without a target are
    `unsupervised`, how many there are."""
    with naming(path, field):
        check = limits.check_training if unsupervised else limits.check
        check(examples, truncate=truncate)
    bare = sum(row.target is None for row in examples)
    if bare:
        note(
            f"{path}: {bare} of {len(examples)} rows have no target; the prompt learns to fill in "
            "pieces cut out of their inputs"
        )
    _tell(path, limits.training_notes(examples))


def check_inputs(
    path: Path, inputs: Sequence[str], limits: ModelLimits, field: str, *, truncate: bool
) -> None:
    """Raise InvalidInput for inputs that are too long, unless they are to be cut; say what is not
    read."""
    with naming(path, field):
        limits.check_inputs(inputs, truncate=truncate, field=field)
    _tell(path, limits.notes(inputs))


def _tell(path: Path, notes: InputNotes) -> None:
    if notes.warning is not None:
        note(f"{path}: {notes.warning}")


def store(service: Service, path: Path, examples: Sequence[Example], user: str) -> Dataset:
    """The dataset of these rows, stored unless the same rows are there under this name."""
    from ptsys.types.example import digest

    name = dataset_name(path, digest(examples))
    try:
        return service.datasets.get(name, user)
    except NotFound:
        pass
    try:
        return service.datasets.add(name, user, examples)
    except Conflict:  # another command was faster
        return service.datasets.get(name, user)


def dataset_name(path: Path, digest: str) -> str:
    """The file's name and the start of its rows' digest: other rows get another name."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-._") or "rows"
    return f"{stem[:80]}-{digest[:12]}"
