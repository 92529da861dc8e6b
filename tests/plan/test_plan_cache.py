"""A compiled answer is kept only as long as every file that decided it stays as it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ptsys.plan.cache import deciding_files

_ROOMS = ("kinds", "models", "prompts", "passes", "sharding")


def test_every_file_that_a_compiled_step_is_made_of_decides_its_key() -> None:
    listing = (
        "import sys, ptsys.plan.step\n"
        "for name, module in list(sys.modules.items()):\n"
        "    if name.startswith('ptsys.'): print(name, module.__file__)"
    )
    lines = subprocess.run(
        [sys.executable, "-c", listing], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    deciding = {str(file) for file in deciding_files()}
    read = [line.split(maxsplit=1) for line in lines]
    missing = {
        name
        for name, file in read
        if name.split(".")[1] in _ROOMS and str(Path(file).resolve()) not in deciding
    }
    assert not missing
    assert {"ptsys.models.t5.network", "ptsys.passes.train"} <= {name for name, _ in read}
