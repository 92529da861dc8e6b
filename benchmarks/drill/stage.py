"""One deployment to be drilled: its servers, proxies, processes, and the disk it may fill."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
import uuid
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy
import tiny_model
from postgres_server import PostgresServer

from benchmarks.drill.audit import begin_audit
from benchmarks.drill.clock import ClockFile
from benchmarks.drill.nursery import Child, Nursery
from benchmarks.drill.proxy import FaultProxy
from ptsys.config import Settings
from ptsys.jobs.redis_server import EmbeddedRedis
from ptsys.jobs.service import Service
from ptsys.models.registry import Registry
from ptsys.stack.ports import free_port

WORKERS = ("worker-1", "worker-2")
ROLES = (*WORKERS, "helper", "api")
USERS = ("ann", "bob", "eve")
QUOTA = 3
"""Unfinished jobs a user may have."""

_DISK = "192m"
_START_SECONDS = 240.0
_FAST = {"lease_seconds": 3.0, "reconcile_seconds": 0.5, "resend_seconds": 1.5}


class Stage:
    """Redis, a database, two workers, a helper without a model, and the HTTP API."""

    def __init__(
        self,
        folder: Path,
        template: Path,
        nursery: Nursery,
        *,
        postgres: PostgresServer | None = None,
        residents: int = 1,
        disk: bool = True,
        helper: bool = True,
        **settings: Any,
    ) -> None:
        """Make it; nothing of ours runs yet but Redis. `disk` wants one that can be filled."""
        folder.mkdir(parents=True)
        self.folder, self._nursery = folder, nursery
        self.root = folder / "data"
        self.root.mkdir()
        self.disk = disk and _mount(self.root)
        shutil.copytree(template / "models", self.root / "models")
        (self.root / "compilations").symlink_to(template / "compilations")
        self.postgres, self._database = postgres, None
        own_url = None
        if postgres is not None:
            self._database = f"drill_{uuid.uuid4().hex[:12]}"
            self._admin(f"CREATE DATABASE {self._database}")
            own_url = postgres.url(self._database)
        self.redis = EmbeddedRedis(folder / "redis")
        self.redis.start()
        self.proxies = {"redis": FaultProxy(Path(self.redis.address.url.removeprefix("unix://")))}
        worn_url = None
        if postgres is not None:
            proxy = FaultProxy(postgres.folder / ".s.PGSQL.5432")
            self.proxies["postgres"] = proxy
            worn_url = f"postgresql+psycopg://postgres@127.0.0.1:{proxy.port}/{self._database}"
        self.port = free_port("127.0.0.1", 0, 0)
        self._settings: dict[str, Any] = {
            **_FAST,
            "data_dir": self.root,
            "redis_url": f"redis://127.0.0.1:{self.proxies['redis'].port}/0",
            "max_residents": residents,
            "model": tiny_model.NAME,
            "max_user_jobs": QUOTA,
            "max_attempts": 1000,
            "api_port": self.port,
            "request_seconds": 20,
            **({} if worn_url is None else {"database_url": worn_url}),
            **settings,
        }
        own = Settings(data_dir=self.root, database_url=own_url, redis_url=self.redis.address.url)
        self.service = Service(own)
        self.service.models.add(Registry(self.root).describe(tiny_model.NAME))
        begin_audit(self.service.database)
        self.keys = {user: self.service.keys.create(user)[1] for user in USERS}
        self.clocks = {role: ClockFile(folder / f"{role}.clock") for role in ROLES}
        self.roles = ROLES if helper else tuple(role for role in ROLES if role != "helper")
        self.children: dict[str, Child] = {}
        self.ended_by_themselves: list[str] = []
        self.tending = True

    @property
    def url(self) -> str:
        """Of the HTTP API."""
        return f"http://127.0.0.1:{self.port}"

    def start(self, role: str, **more: Any) -> Child:
        """Start that process."""
        if role == "api":
            kind, arguments = "api", ["--with-parent", "--port", str(self.port)]
        elif role == "helper":
            kind, arguments = "worker", ["--with-parent", "--cpu-only"]
        else:
            kind, arguments = "worker", ["--with-parent", "--model", tiny_model.NAME]
        child = self._nursery.start(
            kind,
            arguments,
            self._settings,
            self.folder / f"{role}.log",
            clock=str(self.folder / f"{role}.clock"),
            **more,
        )
        self.children[role] = child
        return child

    def tend(self) -> None:
        """Start what is dead: again and at once."""
        for role in self.roles:
            child = self.children.get(role)
            if child is None:
                self.start(role)
            elif not child.alive:
                if not child.stopped:  # nobody of us killed it
                    self.ended_by_themselves.append(f"{role}: {child.said[-300:]}")
                self.start(role)
        if self.redis.pid is None or not _alive(self.redis.pid):
            self.redis.start()
        if self.postgres is not None and (
            self.postgres.pid is None or not _alive(self.postgres.pid)
        ):
            self.postgres.start()

    def wait_until_answering(self) -> None:
        """Until the API answers and a worker is ready."""
        deadline = time.monotonic() + _START_SECONDS
        while not (self.answers() and self._ready()):
            if time.monotonic() > deadline:
                said = "\n".join(child.said[-800:] for child in self.children.values())
                raise RuntimeError(f"the stage did not start:\n{said}")
            self.tend()
            time.sleep(0.1)

    def kill(self, role: str) -> bool:
        """SIGKILL; False if it was dead already."""
        child = self.children.get(role)
        if child is None or not child.alive:
            return False
        child.stopped = True
        killed = child.kill()
        child.wait(10)
        return killed

    def heal(self) -> None:
        """Everything as it should be: clocks right, proxies passing, room on the disk."""
        for clock in self.clocks.values():
            clock.ahead = 0.0
        for proxy in self.proxies.values():
            proxy.set("pass")
        self.free_disk()
        for child in self.children.values():
            child.signal(signal.SIGCONT)
        if self.redis.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.redis.pid, signal.SIGCONT)

    def fill_disk(self) -> None:
        """Leave not a byte."""
        with contextlib.suppress(OSError), (self.root / "filler").open("wb", buffering=0) as file:
            for size in (2**20, 2**12, 1):
                with contextlib.suppress(OSError):
                    while file.write(b"\0" * size):
                        pass

    def free_disk(self) -> None:
        """Room again."""
        (self.root / "filler").unlink(missing_ok=True)

    def drain(self) -> dict[str, bool]:
        """SIGTERM to all, and which of them ended in time."""
        for child in self.children.values():
            child.stopped = True
            child.signal(signal.SIGTERM)
        ended = {role: child.wait(60) for role, child in self.children.items()}
        for role in self.children:
            self.kill(role)
        return ended

    def close(self) -> None:
        """End everything and remove what it kept."""
        for role in list(self.children):
            self.kill(role)
        for proxy in self.proxies.values():
            proxy.close()
        self.redis.stop()
        self.service.close()
        if self._database is not None:
            self._admin(f"DROP DATABASE {self._database} WITH (FORCE)")
        if self.disk:
            subprocess.run(["umount", "-l", str(self.root)], check=False)

    def _admin(self, statement: str) -> None:
        assert self.postgres is not None
        engine = sqlalchemy.create_engine(self.postgres.url(), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text(statement))
        engine.dispose()

    def answers(self) -> bool:
        """The API does."""
        try:
            return httpx.get(f"{self.url}/healthz", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def _ready(self) -> bool:
        return any(
            "ready:" in child.said for role, child in self.children.items() if role in WORKERS
        )


def _mount(folder: Path) -> bool:
    """A small disk of its own, if that is allowed here."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={_DISK},mode=0700", "tmpfs", str(folder)]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
