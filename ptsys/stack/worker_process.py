"""The command lines and environments of workers and of the API."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import ptsys
from ptsys.stack.child_process import ChildProcess

if TYPE_CHECKING:
    from ptsys.config import Settings


def worker_process(settings: Settings, model: str, number: int) -> ChildProcess:
    """A worker of that model, not started yet."""
    log = settings.root / "logs" / f"worker-{number}.log"
    return ChildProcess(f"worker {number}", worker_command(model), log, environment(settings))


def api_process(settings: Settings, port: int) -> ChildProcess:
    """The HTTP API on that port, not started yet."""
    command = api_command(settings.api_host, port)
    return ChildProcess(
        "the API", command, settings.root / "logs" / "api.log", environment(settings)
    )


def api_command(host: str, port: int) -> list[str]:
    """The command line of the API that listens there."""
    return [sys.executable, "-m", "ptsys.api", "--host", host, "--port", str(port)]


def worker_command(model: str) -> list[str]:
    """The command line of a worker of that model."""
    return [sys.executable, "-m", "workers", "--model", model]


def environment(settings: Settings) -> dict[str, str]:
    """This process's environment with these settings, whatever `PTSYS_*` it had."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PTSYS_")}
    values = settings.model_dump(mode="json") | {"data_dir": str(settings.root)}
    given = {f"PTSYS_{key.upper()}": str(v) for key, v in values.items() if v is not None}
    path = [str(Path(ptsys.__file__).resolve().parents[1]), os.environ.get("PYTHONPATH", "")]
    return {**kept, **given, "PYTHONPATH": os.pathsep.join(filter(None, path))}
