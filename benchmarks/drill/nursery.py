"""The nursery: a process that has imported everything, and forks workers and APIs from itself.

What it forks runs the same code as `python -m workers` and `python -m ptsys.api`, without the
seconds that the imports of JAX take each time: so a thousand kills fit into an hour.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.drill import REPOSITORY

_START_SECONDS = 180.0
_IMPORTED = (
    "workers.host",
    "workers.warmup",
    "ptsys.api.server",
    "ptsys.sharding.host_memory",
    "ptsys.prompts.orbax_form",
    "ptsys.library.library",
    "tensorstore",
    "psycopg",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite.pysqlite",
    "kombu.transport.redis",
    "celery.app.amqp",
    "celery.concurrency.thread",
    "celery.worker.consumer",
    "alembic.command",
)
MAINS = {"worker": "workers.__main__", "api": "ptsys.api.__main__"}


class Child:
    """A process that the nursery forked."""

    def __init__(self, role: str, pid: int, log: Path) -> None:
        self.role, self.pid, self.log = role, pid, log
        self._handle = os.pidfd_open(pid)
        self.stopped = False

    @property
    def alive(self) -> bool:
        """It has not ended, with all its threads: then what it listened on is free."""
        return not select.select([self._handle], [], [], 0)[0]

    def signal(self, number: int) -> bool:
        """Send it; False if the process has ended (its number may be another's by now)."""
        try:
            signal.pidfd_send_signal(self._handle, number)
        except ProcessLookupError:
            return False
        return True

    def kill(self) -> bool:
        """SIGKILL; False if it had ended by itself."""
        return self.signal(signal.SIGKILL)

    def wait(self, seconds: float) -> bool:
        """Whether it ended within that time."""
        deadline = time.monotonic() + seconds
        while self.alive:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    @property
    def said(self) -> str:
        """What it printed."""
        return self.log.read_text(errors="replace")


class Nursery:
    """Starts children; they end when it does."""

    def __init__(self, log: Path) -> None:
        ours, theirs = socket.socketpair()
        environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""}
        path = [str(REPOSITORY), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, path))
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.drill.nursery", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                cwd=REPOSITORY,
                env=environment,
            )
        theirs.close()
        self._channel = ours.makefile("rw")
        self._lock = threading.Lock()
        ours.settimeout(_START_SECONDS)
        if not self._channel.readline():
            raise RuntimeError(f"the nursery did not start; see {log}")

    def start(
        self,
        role: str,
        arguments: Sequence[str],
        settings: Mapping[str, Any],
        log: Path,
        **more: Any,
    ) -> Child:
        """A process of that role with these PTSYS_* settings. `more`: `clock`, the file of its
        clock; `crash`, the label of the commit point it dies at."""
        given = {f"PTSYS_{name.upper()}": str(value) for name, value in settings.items()}
        log.touch()
        order = {"role": role, "arguments": list(arguments), "settings": given, "log": str(log)}
        with self._lock:
            self._channel.write(json.dumps({**order, **more}, default=str) + "\n")
            self._channel.flush()
            pid = int(self._channel.readline())
        return Child(role, pid, log)

    def close(self) -> None:
        """End it; what it forked must be dead already."""
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(OSError):
            self._channel.close()


def _serve(channel: Any) -> None:
    from benchmarks.drill.clock import InjectedClock

    clock = InjectedClock()
    for module in (*MAINS.values(), *_IMPORTED):
        importlib.import_module(module)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries the dead
    channel.write("ready\n")
    channel.flush()
    for line in channel:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become(order, clock)
        channel.write(f"{pid}\n")
        channel.flush()


def _become(order: dict[str, Any], clock: Any) -> None:
    """Be that process, and never return."""
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        for name in [name for name in os.environ if name.startswith("PTSYS_")]:
            del os.environ[name]
        os.environ.update(order["settings"])
        if order.get("clock"):
            clock.follow(Path(order["clock"]))
        if order.get("crash"):
            from benchmarks.drill.crash_labels import arm

            arm(order["crash"])
        module = importlib.import_module(MAINS[order["role"]])
        sys.argv = [order["role"], *order["arguments"]]
        code = module.main() or 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])).makefile("rw"))
