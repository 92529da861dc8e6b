"""Commands on a data directory with a tiny random model, and on a running stack."""

import os
from pathlib import Path

import pytest
from commands import (
    MODEL,
    Run,
    call,
    examples,
    imported,
    model_folder,
    root,
    stack,
    write_rows,
)

__all__ = ["imported", "model_folder", "root", "stack"]


@pytest.fixture
def run(root: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run commands on `root`, with the random model as the default one."""
    for name in [name for name in os.environ if name.startswith("PTSYS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PTSYS_MODEL", MODEL)
    return lambda *arguments: call("--data", root, *arguments)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "doors.jsonl", examples(24))
