import threading
from pathlib import Path

import numpy as np
import pytest

from ptsys.errors import Conflict, Damaged, InvalidInput, NotFound
from ptsys.prompts.storage import load_part, load_tree, save_tree

PROMPT = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)


def test_a_tensor_comes_back_bit_for_bit(tmp_path: Path):
    save_tree(tmp_path / "prompts" / "pr_1", {"prompt": PROMPT})
    again = load_tree(tmp_path / "prompts" / "pr_1")["prompt"]
    assert type(again) is np.ndarray
    assert again.dtype == np.float32
    np.testing.assert_array_equal(again, PROMPT)


def test_a_stored_tensor_is_never_overwritten(tmp_path: Path):
    save_tree(tmp_path / "pr_1", {"prompt": PROMPT})
    with pytest.raises(Conflict, match="already stored"):
        save_tree(tmp_path / "pr_1", {"prompt": 2 * PROMPT})
    np.testing.assert_array_equal(load_tree(tmp_path / "pr_1")["prompt"], PROMPT)
    assert [file.name for file in tmp_path.iterdir()] == ["pr_1"]


def test_tensors_are_written_from_several_threads(tmp_path: Path):
    threads = [
        threading.Thread(target=save_tree, args=(tmp_path / f"pr_{i}", {"prompt": PROMPT + i}))
        for i in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(4):
        np.testing.assert_array_equal(load_tree(tmp_path / f"pr_{i}")["prompt"], PROMPT + i)


def test_what_a_killed_writer_left_is_neither_read_nor_in_the_way(tmp_path: Path):
    (tmp_path / "pr_1.orbax-checkpoint-tmp" / "d").mkdir(parents=True)
    with pytest.raises(NotFound):
        load_tree(tmp_path / "pr_1")["prompt"]
    save_tree(tmp_path / "pr_1", {"prompt": PROMPT})
    np.testing.assert_array_equal(load_tree(tmp_path / "pr_1")["prompt"], PROMPT)
    assert [file.name for file in tmp_path.iterdir()] == ["pr_1"]


def test_what_is_absent_or_damaged_is_told_apart(tmp_path: Path):
    with pytest.raises(NotFound):
        load_tree(tmp_path / "pr_0")["prompt"]
    (tmp_path / "pr_1").mkdir()
    with pytest.raises(Damaged, match="damaged"):
        load_tree(tmp_path / "pr_1")["prompt"]


def test_an_array_that_is_no_prompt_is_not_stored(tmp_path: Path):
    with pytest.raises(InvalidInput, match="row 0, column 0"):
        save_tree(tmp_path / "pr_1", {"prompt": np.full((2, 2), np.nan)})
    assert not list(tmp_path.iterdir())


def test_a_prompt_of_several_arrays_comes_back_by_their_names(tmp_path: Path) -> None:
    tree = {"prompt": PROMPT, "matrix": np.eye(3, 5), "bias": np.zeros((3, PROMPT.shape[1]))}
    save_tree(tmp_path / "pr_1", tree)
    again = load_tree(tmp_path / "pr_1")
    assert set(again) == set(tree)
    for name, array in tree.items():
        assert again[name].dtype == np.float32
        np.testing.assert_array_equal(again[name], array)
    assert load_part(tmp_path / "pr_1").affine is not None
    with pytest.raises(Conflict):
        save_tree(tmp_path / "pr_1", tree)
    for wrong in ({}, {"prompt": np.full((2, 4), np.nan)}):
        with pytest.raises(InvalidInput):
            save_tree(tmp_path / "pr_2", wrong)
