"""libtpu where no TPU is: it is installed for `ptsys plan`, and JAX asks it for devices first."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from pathlib import Path

_ANSWERS = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v5litepod-8",
    "TPU_LOG_DIR": "disabled",
}
"""What libtpu looks for when it starts. Without them it prints eight lines on stderr, in whatever
process computes; with them it finds no chip, and is silent."""


def silence_absent_tpu(
    environment: MutableMapping[str, str] = os.environ, devices: Path = Path("/dev")
) -> None:
    """Answer libtpu's questions ahead where this machine has no TPU; before JAX's first
    computation. What is set already stays."""
    if any(devices.glob("accel*")) or any((devices / "vfio").glob("[0-9]*")):
        return  # perhaps a TPU's: it shall find out
    for name, value in _ANSWERS.items():
        environment.setdefault(name, value)
