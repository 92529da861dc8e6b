"""One round of the drill: users and nemesis side by side, then a full drain, then the checker."""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from postgres_server import PostgresServer
from sqlalchemy import func, select

from benchmarks.drill.checker import Checker
from benchmarks.drill.history import History
from benchmarks.drill.nemesis import SECONDS, Nemesis, plan
from benchmarks.drill.nursery import Nursery
from benchmarks.drill.reference import Reference
from benchmarks.drill.stage import USERS, Stage
from benchmarks.drill.users import User
from ptsys.errors import Unavailable
from ptsys.store.tables import JobRow

DRAIN_SECONDS = 600.0
"""Longest that everything acknowledged may take to end, once nothing disturbs it."""

_TOLD_SECONDS = 10.0


@dataclasses.dataclass(frozen=True)
class Round:
    """What decides a round: with the same values the same users ask for the same and the same
    faults come in the same order; how they meet is up to the machine."""

    seed: int
    kills: int
    database: str = "sqlite"
    residents: int = 1
    pause: float = SECONDS


def run_round(
    round: Round,
    folder: Path,
    template: Path,
    nursery: Nursery,
    reference: Reference,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Run it; its figures and what went wrong, as JSON. The folder stays if something did."""
    postgres = PostgresServer(quick=False).start() if round.database == "postgres" else None
    shutil.rmtree(folder, ignore_errors=True)
    stage = None
    try:
        stage = Stage(folder, template, nursery, postgres=postgres, residents=round.residents)
        result = _run(round, stage, reference, say)
    finally:
        if stage is not None:
            stage.close()
        if postgres is not None:
            postgres.remove()
    if not result["faults"]:
        shutil.rmtree(folder, ignore_errors=True)
    return result


def _run(
    round: Round, stage: Stage, reference: Reference, say: Callable[[str], None]
) -> dict[str, Any]:
    began = time.monotonic()
    stage.tend()
    stage.wait_until_answering()
    history = History()
    users = [
        User(name, number, round.seed, stage, history, reference.answers)
        for number, name in enumerate((*USERS, USERS[-1]))
    ]
    for user in users[: len(USERS)]:
        user.prepare()
    for user in users:
        user.thread.start()
    nemesis = Nemesis(stage)
    _disturb(round, stage, nemesis, say)
    disturbed = time.monotonic() - began
    nemesis.end()
    for user in users:
        user.stop()
    for user in users:
        user.thread.join(60)
    say(f"  drains after {nemesis.killed} kills")
    drained = wait_until_drained(stage, say)
    ended = stage.drain()
    seconds = time.monotonic() - began
    verdict = Checker(stage, history, reference, alone=round.residents == 1).check()
    numbers = {
        name: value for name, value in dataclasses.asdict(verdict).items() if isinstance(value, int)
    }
    return {
        **dataclasses.asdict(round),
        "killed": nemesis.kills,
        "other_faults": nemesis.others,
        "seconds": _seconds(seconds),
        "disturbed_seconds": _seconds(disturbed),
        "drain_seconds": _seconds(drained),
        **numbers,
        "answers": history.answers,
        "errors_told": history.errors,
        "faults": verdict.faults,
        "not_drained": [role for role, in_time in ended.items() if not in_time],
        "ended_by_themselves": stage.ended_by_themselves,
    }


def _seconds(seconds: float) -> float:
    """Seconds as they are written down."""
    return float(f"{seconds:.1f}")


def _disturb(round: Round, stage: Stage, nemesis: Nemesis, say: Callable[[str], None]) -> None:
    faults = iter(plan(round.seed, 20 * round.kills, round.pause))
    told = time.monotonic()
    while nemesis.killed < round.kills:
        fault = next(faults)
        until = time.monotonic() + fault.pause
        while time.monotonic() < until:
            stage.tend()
            time.sleep(0.1)
        nemesis.do(fault)
        if time.monotonic() - told > _TOLD_SECONDS:
            told = time.monotonic()
            say(f"  {nemesis.killed} killed, last {fault.what}")


def wait_until_drained(stage: Stage, say: Callable[[str], None]) -> float:
    """Wait until no job is unfinished; the seconds it took."""
    began = told = time.monotonic()
    while time.monotonic() - began < DRAIN_SECONDS:
        stage.tend()
        try:
            left = _unfinished(stage)
        except Unavailable:
            left = -1
        if left == 0:
            break
        if time.monotonic() - told > _TOLD_SECONDS:
            told = time.monotonic()
            say(f"  {left} unfinished jobs")
        time.sleep(0.3)
    return time.monotonic() - began


def _unfinished(stage: Stage) -> int:
    query = select(func.count()).where(JobRow.active_name.is_not(None))
    with stage.service.database.reading() as session:
        return session.scalar(query) or 0
