"""The programs that check what is deployed; where one is missing, its tests say so and skip."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

Program = Callable[[str], str]
_PLACES = os.pathsep.join(
    [os.environ.get("PATH", ""), str(Path(sys.executable).parent), "/usr/sbin", "/sbin"]
)


def missing(name: str) -> NoReturn:
    """Skip, or fail where CI has said that it has everything."""
    reason = f"{name} is not here: make deploy-checks, and apt-get install prometheus nginx-light"
    if "deploy" in os.environ.get("PTSYS_TEST_REQUIRES", "").split(","):
        pytest.fail(reason)
    pytest.skip(reason, allow_module_level=True)


def find(name: str) -> str:
    """Where a program is."""
    return shutil.which(name, path=_PLACES) or missing(name)
