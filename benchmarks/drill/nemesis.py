"""The nemesis: faults drawn from a seed, done to a stage one after another and many at a time."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import redis

from benchmarks.drill.stage import WORKERS, Stage
from ptsys.store.tables import JobRow, PromptRow
from workers.prompt_ids import job_of

_WEIGHTS = {
    "kill worker": 10,
    "kill api": 9,
    "kill helper": 3,
    "kill redis": 6,
    "kill database": 7,
    "kill all": 1,
    "stop worker": 2,
    "stop api": 1,
    "stop redis": 1,
    "flush redis": 2,
    "redis slow": 1,
    "redis cut": 2,
    "redis half-open": 1,
    "database slow": 1,
    "database cut": 2,
    "database half-open": 1,
    "disk full": 1,
    "tear": 1,
    "clock": 2,
}
_T = TypeVar("_T")

SECONDS = 1.3
"""Mean pause between two faults."""


@dataclasses.dataclass(frozen=True)
class Fault:
    """One fault: how long after the one before (seconds), what, with which draw of its own."""

    pause: float
    what: str
    draw: float
    seconds: float


def plan(seed: int, faults: int, mean_pause: float = SECONDS) -> list[Fault]:
    """The faults of that seed: always the same."""
    draw = random.Random(f"nemesis/{seed}")
    names, weights = list(_WEIGHTS), list(_WEIGHTS.values())
    return [
        Fault(
            pause=min(draw.expovariate(1 / mean_pause), 3 * mean_pause),
            what=draw.choices(names, weights)[0],
            draw=draw.random(),
            seconds=draw.uniform(1.0, 5.0),
        )
        for _ in range(faults)
    ]


class Nemesis:
    """Does faults to one stage, and counts."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.kills: dict[str, int] = {}
        self.others: dict[str, int] = {}
        self._timers: list[threading.Timer] = []
        self._postgres_was_killed = 0.0

    @property
    def killed(self) -> int:
        """Processes killed so far."""
        return sum(self.kills.values())

    def do(self, fault: Fault) -> None:
        """Do it; what must end again ends by itself after `fault.seconds`."""
        kind, _, of = fault.what.partition(" ")
        if kind == "kill":
            self._kill(of, fault)
        elif kind == "stop":
            self._suspend(of, fault)
        elif kind == "flush":
            self._flush()
        elif kind in ("redis", "database"):
            self._proxy(kind, of, fault)
        elif kind == "disk":
            self._fill(fault)
        elif kind == "tear":
            self._tear(fault)
        else:
            self._move_clock(fault)

    def end(self) -> None:
        """No fault goes on."""
        for timer in self._timers:
            timer.cancel()
        self._stage.heal()

    # ---- the faults -----------------------------------------------------------------------

    def _kill(self, of: str, fault: Fault) -> None:
        if of == "all":
            for role in self._stage.roles:
                self._kill_role(role)
            self._kill_redis()
            return
        if of == "redis":
            self._kill_redis()
        elif of == "database" and self._stage.postgres is not None:
            self._kill_postgres(fault)
        elif of == "helper":
            self._kill_role("helper")
        elif of == "api" or of == "database":  # SQLite lives in the processes
            self._kill_role("api")
        else:
            self._kill_role(_one(WORKERS, fault.draw))

    def _kill_role(self, role: str) -> None:
        if self._stage.kill(role):
            self._count(self.kills, role.partition("-")[0])

    def _kill_redis(self) -> None:
        pid = self._stage.redis.pid
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                self._count(self.kills, "redis")
            _gone(pid)

    def _kill_postgres(self, fault: Fault) -> None:
        """One of its processes, after which it recovers, or now and then the first of them."""
        assert self._stage.postgres is not None
        parent = self._stage.postgres.pid
        if parent is None or time.monotonic() - self._postgres_was_killed < 4.0:
            return  # let it recover first
        children = _children(parent)
        if fault.draw < 0.15 or not children:
            os.kill(parent, signal.SIGKILL)
            for child in (parent, *children):  # a new one would refuse while they hold its memory
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
                _gone(child)
        else:
            with contextlib.suppress(ProcessLookupError):
                os.kill(_one(children, fault.draw), signal.SIGKILL)
        self._postgres_was_killed = time.monotonic()
        self._count(self.kills, "postgres")

    def _suspend(self, of: str, fault: Fault) -> None:
        if of == "redis":
            pid = self._stage.redis.pid
            if pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
                self._later(fault.seconds / 2, lambda: _continue(pid))
        else:
            role = "api" if of == "api" else _one(WORKERS, fault.draw)
            child = self._stage.children.get(role)
            if child is None or not child.signal(signal.SIGSTOP):
                return
            self._later(2 * fault.seconds, lambda: child.signal(signal.SIGCONT))
        self._count(self.others, f"suspended {of}")

    def _flush(self) -> None:
        with (
            contextlib.suppress(redis.RedisError),
            self._stage.redis.address.client(timeout=1.0) as client,
        ):
            client.flushall()
            self._count(self.others, "flushed redis")

    def _proxy(self, of: str, how: str, fault: Fault) -> None:
        proxy = self._stage.proxies.get("postgres" if of == "database" else of)
        if proxy is None:
            return
        proxy.set(how, 0.02 + 0.2 * fault.draw)  # type: ignore[arg-type]
        self._later(fault.seconds, lambda: proxy.set("pass"))
        self._count(self.others, f"{of} {how}")

    def _fill(self, fault: Fault) -> None:
        if not self._stage.disk:
            return
        self._stage.fill_disk()
        self._later(fault.seconds, self._stage.free_disk)
        self._count(self.others, "disk full")

    def _tear(self, fault: Fault) -> None:
        """As a machine that lost its power in the middle of a write: all workers die, and what they
        were writing is there in part. Whatever is recorded stays whole."""
        for role in WORKERS:
            self._kill_role(role)
        draw = random.Random(fault.draw)
        for folder in _unrecorded(self._stage):
            files = [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size]
            if files:
                path = draw.choice(files)
                with contextlib.suppress(OSError):
                    os.truncate(path, draw.randrange(path.stat().st_size))
                    self._count(self.others, "torn files")

    def _move_clock(self, fault: Fault) -> None:
        clock = self._stage.clocks[_one(self._stage.roles, fault.draw)]
        clock.ahead = (fault.draw * 7919 % 1.0 - 0.5) * 40.0
        self._later(2 * fault.seconds, lambda: setattr(clock, "ahead", 0.0))
        self._count(self.others, "clock moved")

    def _later(self, seconds: float, action: Callable[[], object]) -> None:
        timer = threading.Timer(seconds, action)
        timer.daemon = True
        timer.start()
        self._timers = [timer for timer in self._timers if timer.is_alive()] + [timer]

    def _count(self, counts: dict[str, int], what: str) -> None:
        counts[what] = counts.get(what, 0) + 1


def _unrecorded(stage: Stage) -> list[Path]:
    """Folders that a job of a dead worker may have been writing: its newest checkpoint, and
    tensors that no record names."""
    with stage.service.database.reading() as session:
        jobs = {row.id: row.active_name for row in session.query(JobRow.id, JobRow.active_name)}
        prompts = {row.id for row in session.query(PromptRow.id)}
    found = []
    for folder in (stage.root / "jobs").glob("*/checkpoints"):
        steps = [path for path in folder.iterdir() if path.name.isdigit()]
        found += sorted(steps, key=lambda path: int(path.name))[-1:]
    for folder in (stage.root / "prompts").glob("*"):
        if folder.name not in prompts and jobs.get(job_of(folder.name)) is not None:
            found.append(folder)
    return found


def _one(things: Sequence[_T], draw: float) -> _T:
    return things[int(draw * 1_000_003) % len(things)]


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(x) for x in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _continue(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def _gone(pid: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return
        if state == "Z":
            return
        time.sleep(0.01)
