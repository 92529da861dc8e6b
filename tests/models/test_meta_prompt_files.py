"""The meta-prompt that comes with a model: read beside its weights, and carried along."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from ptsys.errors import InvalidInput
from ptsys.models.registry import BUILTIN, Registry
from ptsys.prompts.meta import META
from ptsys.store.model_folders import META_PROMPT, read_initialization, read_meta_prompt


def test_it_ends_as_the_shared_prompt_does_and_follows_its_model(tmp_path: Path) -> None:
    own = read_meta_prompt(BUILTIN / "tiny")
    shared = read_initialization(BUILTIN / "tiny")
    assert own is not None
    assert shared is not None
    np.testing.assert_array_equal(own["start"], shared[-8:])
    registry = Registry(tmp_path)
    registry.import_model(BUILTIN / "tiny", "copy")
    loaded = registry.load("copy")
    assert loaded.meta_prompt is not None
    checked = META.check(dict(loaded.meta_prompt), loaded.config)
    assert checked.keys() == own.keys()
    for name, array in META.check(own, loaded.config).items():
        np.testing.assert_array_equal(checked[name], array)


def test_a_model_may_have_none_and_a_damaged_one_is_told(tmp_path: Path) -> None:
    assert read_meta_prompt(tmp_path) is None
    (tmp_path / META_PROMPT).write_bytes(b"no tensors")
    with pytest.raises(InvalidInput, match="damaged"):
        read_meta_prompt(tmp_path)
    shutil.copy(BUILTIN / "tiny" / META_PROMPT, tmp_path)
    with pytest.raises(InvalidInput, match=r"initialization\.npy is absent"):
        read_meta_prompt(tmp_path)
