"""Whether the data folder can be written, found out by writing."""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path
from typing import Literal

from ptsys.store.faults import is_full

Disk = Literal["ok", "full", "read-only", "away"]

_PROBE_BYTES = 64 * 1024
_SPARE_BYTES = 16 * 2**20  # a database needs some to commit anything at all


def disk_state(root: Path) -> Disk:
    """`full` also where next to nothing is left; `away` where the folder is not there."""
    probe = root / f".probe-{uuid.uuid4().hex}"
    try:
        try:
            descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "wb") as file:
                file.write(bytes(_PROBE_BYTES))
                file.flush()
        finally:
            with contextlib.suppress(OSError):
                probe.unlink(missing_ok=True)
        found = os.statvfs(root)
    except FileNotFoundError:
        return "away"
    except OSError as error:
        return "full" if is_full(error) else "read-only"
    return "ok" if found.f_bavail * found.f_frsize > _SPARE_BYTES else "full"
