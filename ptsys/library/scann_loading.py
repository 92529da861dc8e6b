"""ScaNN, where this machine can run it."""

from __future__ import annotations

import functools
import logging
import platform
from pathlib import Path
from typing import Any

_log = logging.getLogger(__name__)


@functools.cache
def load_scann() -> Any | None:
    """ScaNN's module that builds searchers, or None, which is said once, where it is not
    installed, does not load (beside some versions of TensorFlow) or would crash (a processor
    without AVX and FMA)."""
    lacking = _lacking()
    if lacking:
        _log.warning("the library is searched exactly: ScaNN needs a processor with %s", lacking)
        return None
    try:
        from scann.scann_ops.py import scann_ops_pybind
    except Exception as error:  # what loading a foreign library beside others may raise
        _log.warning("the library is searched exactly: ScaNN does not load (%s)", error)
        return None
    return scann_ops_pybind


def _lacking() -> str:
    """What ScaNN's code is compiled for and an x86 processor has not; such code kills us."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return ""
    try:
        told = Path("/proc/cpuinfo").read_text()
    except OSError:
        return ""  # no Linux: there is no wheel to load either
    flags = next((line.split() for line in told.splitlines() if line.startswith("flags")), None)
    if flags is None:
        return ""
    return " and ".join(name.upper() for name in ("avx", "fma") if name not in flags)
