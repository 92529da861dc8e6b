"""Folders that appear whole or not at all."""

import os
from pathlib import Path

import pytest

from ptsys.errors import Conflict
from ptsys.models.atomic_folder import atomic_folder


def test_what_was_there_stays_if_it_cannot_be_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with atomic_folder(tmp_path / "m") as new:
        (new / "weights").write_text("old")
    real = os.rename

    def rename(source: Path, target: Path) -> None:
        if source.name == "new":
            raise OSError("no")
        real(source, target)

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(Conflict), atomic_folder(tmp_path / "m", replace=True) as new:
        (new / "weights").write_text("new")
    assert (tmp_path / "m" / "weights").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
