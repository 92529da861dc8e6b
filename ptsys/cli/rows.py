"""Rows of a file on their way in: read, checked at the door, and stored once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ptsys.cli.failures import naming
from ptsys.cli.output import note

if TYPE_CHECKING:
    from ptsys.client import Client
    from ptsys.types.example import Example
    from ptsys.types.fit import RowsFit, RowsUse
    from ptsys.types.records import Dataset


def read(path: Path, field: str, *, targets: bool = True) -> list[Example]:
    """The rows of a JSONL file. Raises InvalidInput that names file, line and fix."""
    from ptsys.data.examples import read_examples

    with naming(path, field):
        return read_examples(path, require_target=targets)


def check(
    client: Client,
    path: Path,
    rows: Sequence[Example] | Dataset,
    model: str,
    use: RowsUse,
    *,
    truncate: bool,
    max_input_length: int | None = None,
) -> RowsFit:
    """How the file's rows fit the model, once it is said what is not read of them and, where they
    train, how many have no target.

    Raises InvalidInput for a target that the model cannot learn, and unless `truncate` for an
    input that is too long.
    """
    with naming(path):
        fit = client.datasets.check(
            rows, model=model, use=use, truncate=truncate, max_input_length=max_input_length
        )
    if use == "train" and fit.without_target:
        note(
            f"{path}: {fit.without_target} of {fit.rows} rows have no target; the prompt learns to "
            "fill in pieces cut out of their inputs"
        )
    if fit.notes.warning is not None:
        note(f"{path}: {fit.notes.warning}")
    return fit


def dataset_name(path: Path, digest: str) -> str:
    """The file's name and the start of its rows' digest: other rows get another name."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-._") or "rows"
    return f"{stem[:80]}-{digest[:12]}"
