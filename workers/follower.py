"""A worker that follows: it runs what process 0 of its group tells, and needs no Redis and no
database, only the model."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from types import FrameType

import ptsys
from ptsys.config import Settings
from ptsys.engine.compilation import keep_compilations
from ptsys.engine.device import Device
from ptsys.engine.group_device import follow
from ptsys.engine.model import ServedModel
from ptsys.engine.serving import Serving
from ptsys.engine.workbench import load_workbench
from ptsys.errors import PtsysError
from ptsys.process.supervisor import tell
from ptsys.sharding.following import Leader
from ptsys.sharding.group import GROUP_ENDED, Group, group_mesh, initialize, mesh_told
from ptsys.sharding.host_memory import keep_freed_memory
from ptsys.sharding.mesh import use_every_core
from workers.probes import open_probes

logger = logging.getLogger("workers")


class Follower:
    """This process as a member of a group that another one leads."""

    def __init__(self, group: Group, settings: Settings, *, with_parent: bool = False) -> None:
        """Nothing happens yet."""
        self._group = group
        self._settings = settings
        self._leader: Leader | None = None
        self._asked_to_end = False
        self._ready = False
        self._parent = os.getppid() if with_parent else None

    def run(self) -> int:
        """Join and follow; the exit code if this process has to end by its own fault. Otherwise it
        ends as the leader says, from another thread. Raises PtsysError if it cannot join."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        if self._parent is not None:
            threading.Thread(target=self._watch_parent, name="parent", daemon=True).start()
        open_probes(self._settings, self._unready, lambda: None)
        use_every_core()
        keep_freed_memory()
        logger.info(
            "process %d of %d waits for process 0 at %s:%d",
            self._group.process,
            self._group.processes,
            self._group.host,
            self._group.port,
        )
        leader = Leader(self._group, ptsys.__version__, _end)
        self._leader = leader
        try:
            device = self._prepare(leader)
            self._ready = True
            logger.info("ready: process %d follows", self._group.process)
            tell(ready=1, status=f"process {self._group.process} follows")
            follow(device, leader)
        except PtsysError as error:
            leader.failed(str(error))
            raise
        except Exception as error:
            leader.failed(f"{type(error).__name__}: {error}"[:500])
            logger.exception("what process 0 told could not be done; this process ends")
        return GROUP_ENDED

    def _prepare(self, leader: Leader) -> Device:
        """Load what the leader has loaded."""
        initialize(self._group)
        keep_compilations(self._settings.root / "compilations")
        serving = Serving.of(self._settings)
        mesh = group_mesh(serving.model_shards)
        name = str(leader.terms["model"])
        served = load_workbench(self._settings.root, name, mesh, serving).served
        leader.ready(description(served))
        return Device(served.frozen, int(leader.terms["capacity"]))

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        """The group ends in order when one of it is asked to."""
        if self._leader is None or self._asked_to_end:
            drained = self._settings.drained_exit_code if number == signal.SIGTERM else 0
            os._exit(drained if self._leader is None else 128 + number)
        self._asked_to_end = True
        threading.Thread(target=self._leader.leaving, daemon=True).start()

    def _unready(self) -> str | None:
        if self._asked_to_end:
            return "is ending"
        return None if self._ready else "waits for its group, or loads its model"

    def _watch_parent(self) -> None:
        while os.getppid() == self._parent:
            time.sleep(1.0)
        _end(GROUP_ENDED, "the process that started this worker is gone")


def description(served: ServedModel) -> dict[str, object]:
    """What all processes of a group must have the same of."""
    frozen = served.frozen
    assert frozen.mesh is not None
    return {
        "model fingerprint": served.fingerprint,
        "mesh": mesh_told(frozen.mesh),
        "types of weights": ", ".join(sorted({str(x.dtype) for x in frozen.leaves})),
        "execution": str(frozen.execution),
    }


def _end(code: int, reason: str) -> None:
    """End at once: the main thread may wait for a process that is gone."""
    logger.info("ended: %s", reason)
    logging.shutdown()
    sys.stderr.flush()
    os._exit(code)
