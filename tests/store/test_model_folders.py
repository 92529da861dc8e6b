import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ptsys.errors import InvalidInput
from ptsys.store.model_folders import (
    model_folder,
    model_folders,
    read_config,
    read_initialization,
    vocabulary_path,
)

REPOSITORY = Path(__file__).resolve().parents[2]
NAMES = ('"vocabulary.model"', '"initialization.npy"', '"ptsys-model-1"')


def made(root: Path, name: str, config: str = "{}") -> Path:
    folder = root / "models" / name
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(config)
    return folder


def test_models_are_found_by_name_and_what_is_built_in_wins(tmp_path: Path) -> None:
    own = made(tmp_path, "mine")
    made(tmp_path, "tiny")
    made(tmp_path, ".draft")
    (tmp_path / "models" / "empty").mkdir()
    assert {name for name, _ in model_folders(tmp_path)} == {"mine", "tiny"}
    assert model_folder(tmp_path, "mine") == own
    builtin = model_folder(tmp_path, "tiny")
    assert builtin is not None
    assert read_config(builtin)["format"] == "ptsys-model-1"
    assert vocabulary_path(builtin) is not None
    assert vocabulary_path(own) is None
    for name in ("../mine", "none", "", "a\0b"):
        assert model_folder(tmp_path, name) is None


@pytest.mark.parametrize("text", ["", "[1]", "{", "\udcff"])
def test_a_damaged_description_is_the_sources_fault(tmp_path: Path, text: str) -> None:
    folder = made(tmp_path, "mine")
    (folder / "config.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(InvalidInput, match=r"config\.json"):
        read_config(folder)


def test_a_start_has_to_be_finite_and_of_the_models_width(tmp_path: Path) -> None:
    folder = made(tmp_path, "mine", json.dumps({"config": {"d_model": 4}}))
    assert read_initialization(folder) is None
    np.save(folder / "initialization.npy", np.ones((2, 4)))
    start = read_initialization(folder, 4)
    assert start is not None
    assert (start.shape, start.dtype) == ((2, 4), np.float32)
    with pytest.raises(InvalidInput, match=r"\[length, 5\]"):
        read_initialization(folder, 5)
    (folder / "initialization.npy").write_bytes(b"")
    with pytest.raises(InvalidInput, match="damaged"):
        read_initialization(folder)


def test_the_names_of_a_models_files_stand_in_one_place() -> None:
    found = {
        path.relative_to(REPOSITORY).as_posix()
        for path in (*(REPOSITORY / "ptsys").rglob("*.py"), *(REPOSITORY / "workers").rglob("*.py"))
        if any(name in path.read_text() for name in NAMES)
    }
    assert found == {"ptsys/store/model_folders.py"}


def test_they_are_read_without_an_accelerator_stack() -> None:
    code = "import sys, ptsys.store.model_folders; print('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
