"""libtpu says nothing where there is no TPU."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ptsys.sharding.absent_tpu import silence_absent_tpu

ASKED = """
from ptsys.sharding.absent_tpu import silence_absent_tpu
silence_absent_tpu()
import jax
print(jax.devices()[0].platform)
"""


@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="libtpu is not installed")
def test_a_process_that_computes_prints_nothing_of_its_own() -> None:
    dropped = ("JAX_PLATFORMS", "TPU_", "XLA_FLAGS")
    kept = {name: x for name, x in os.environ.items() if not name.startswith(dropped)}
    ended = subprocess.run(
        [sys.executable, "-c", ASKED], capture_output=True, text=True, timeout=120, env=kept
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""


def test_where_a_tpu_may_be_nothing_is_answered_for_it(tmp_path: Path) -> None:
    (tmp_path / "accel0").touch()
    environment: dict[str, str] = {}
    silence_absent_tpu(environment, tmp_path)
    assert environment == {}


def test_what_is_set_stays(tmp_path: Path) -> None:
    environment = {"TPU_ACCELERATOR_TYPE": "v4-8"}
    silence_absent_tpu(environment, tmp_path)
    assert environment["TPU_ACCELERATOR_TYPE"] == "v4-8"
    assert environment["TPU_SKIP_MDS_QUERY"] == "1"
