"""The light form and Orbax read each other's checkpoints."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ptsys.errors import Conflict, Damaged, InvalidInput, NotFound
from ptsys.prompts.orbax_form import read_orbax, write_orbax
from ptsys.prompts.storage import load_tree, save_tree

PROMPTS = [
    np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32),
    np.zeros((1, 1), np.float32),
    np.random.default_rng(1).normal(size=(100, 512)).astype(np.float32),
]


@pytest.mark.parametrize("prompt", PROMPTS, ids=lambda prompt: str(prompt.shape))
def test_each_reads_what_the_other_wrote(tmp_path: Path, prompt: np.ndarray) -> None:
    write_orbax(tmp_path / "light", prompt)
    save_tree(tmp_path / "orbax", {"prompt": prompt})
    np.testing.assert_array_equal(load_tree(tmp_path / "light")["prompt"], prompt)
    np.testing.assert_array_equal(read_orbax(tmp_path / "orbax"), prompt)
    np.testing.assert_array_equal(read_orbax(tmp_path / "light"), prompt)


def test_a_stored_prompt_never_changes(tmp_path: Path) -> None:
    write_orbax(tmp_path / "p", PROMPTS[0])
    with pytest.raises(Conflict):
        write_orbax(tmp_path / "p", PROMPTS[2])
    np.testing.assert_array_equal(read_orbax(tmp_path / "p"), PROMPTS[0])
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


def test_what_is_missing_damaged_or_no_prompt_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read_orbax(tmp_path / "p")
    (tmp_path / "p").mkdir()
    with pytest.raises(Damaged, match="damaged"):
        read_orbax(tmp_path / "p")
    with pytest.raises(InvalidInput):
        write_orbax(tmp_path / "q", np.full((2, 3), np.nan, np.float32))


def test_no_accelerator_stack_is_loaded() -> None:
    code = "import ptsys.prompts.orbax_form, tensorstore, sys; print('jax' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
