"""The folder of compiled programs can be copied, moved and restored like the rest of the data."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from jax.experimental.compilation_cache import compilation_cache

from ptsys.engine.compilation import keep_compilations

_SETTINGS = (
    "jax_compilation_cache_dir",
    "jax_persistent_cache_enable_xla_caches",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_persistent_cache_min_entry_size_bytes",
)


@pytest.fixture(autouse=True)
def _settings_as_before() -> Iterator[None]:
    before = {name: getattr(jax.config, name) for name in _SETTINGS}
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


def _compiled_in(folder: Path) -> set[str]:
    """The names of the programs there, once this process has compiled one."""
    jax.clear_caches()
    compilation_cache.reset_cache()
    keep_compilations(folder)
    jax.jit(lambda x: x * 2 + 1)(jnp.ones(3)).block_until_ready()
    return {path.name for path in folder.glob("*-cache")}


def test_a_copied_folder_is_compiled_into_no_more(tmp_path: Path) -> None:
    made = _compiled_in(tmp_path / "one")
    assert made
    shutil.copytree(tmp_path / "one", tmp_path / "moved")
    assert _compiled_in(tmp_path / "moved") == made
