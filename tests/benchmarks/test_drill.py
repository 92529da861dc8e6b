"""Kills at random, and at every commit point of a job's life: nothing lost, doubled or unequal."""

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from benchmarks.drill.checker import Checker
from benchmarks.drill.crash_labels import LABELS, Point
from benchmarks.drill.history import History, Submission
from benchmarks.drill.nemesis import plan
from benchmarks.drill.nursery import Child, Nursery
from benchmarks.drill.reference import Reference
from benchmarks.drill.rounds import Round, run_round, wait_until_drained
from benchmarks.drill.stage import Stage
from benchmarks.drill.variants import DATASETS, VARIANTS
from ptsys.prompts.orbax_form import read_orbax, write_orbax
from ptsys.types.records import JobState

pytestmark = [pytest.mark.device, pytest.mark.timeout(900)]
WAIT = 120.0


def test_a_short_drill_loses_nothing(
    tmp_path: Path, template: Path, nursery: Nursery, reference: Reference
) -> None:
    chosen = Round(seed=2026, kills=12, pause=0.5)
    result = run_round(chosen, tmp_path / "round", template, nursery, reference, print)
    assert result["faults"] == {}
    assert sum(result["killed"].values()) >= 12
    assert result["jobs"] > 0
    assert result["same_bits"] + result["nearly"] >= result["succeeded"] > 0


def test_a_seed_repeats_its_faults() -> None:
    assert plan(7, 200) == plan(7, 200)
    assert plan(7, 200) != plan(8, 200)


class Crashes:
    """One deployment in which processes die at labels, one after another."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.history = stage, History()
        self._http = httpx.Client(
            base_url=stage.url,
            headers={"Authorization": f"Bearer {stage.keys['ann']}"},
            timeout=WAIT,
        )
        for name, rows in DATASETS.items():
            stage.service.datasets.add(name, "ann", rows)

    def submit(self, label: str, variant: str) -> Submission:
        """A job that is recorded for sure."""
        made = self._asked(label, variant)
        spec = {**VARIANTS[variant], "name": made.name}
        answer = self._http.post("/v1/jobs", json=spec, headers={"Idempotency-Key": made.key})
        assert answer.status_code == 201, answer.text
        made.id = answer.json()["id"]
        return made

    def crash(self, label: str, point: Point) -> None:
        """Lead a process of that role to the label, and see it die there."""
        role = {"worker": "worker-1"}.get(point.role, point.role)
        if point.role == "api":
            self._crash_api(label, point)
            return
        if point.role == "worker":
            variant = {"train": "short", "evaluate": "scored"}.get(point.act, "long")
            job = self.submit(label, variant)
        if point.act == "forget":
            with self.stage.redis.address.client() as client:
                client.flushall()
        child = self.stage.start(role, crash=label)
        if point.act in ("terminate", "cancel"):
            _until(lambda: f"{job.id} begins" in child.said or not child.alive)
            if point.act == "cancel":
                assert self._http.post(f"/v1/jobs/{job.id}/cancel").status_code == 200
                job.cancel_told = True
            else:
                child.signal(signal.SIGTERM)
        self._dead(child, label)

    def _crash_api(self, label: str, point: Point) -> None:
        job = self.submit(label, "short") if point.act == "cancel" else None
        name = self._name(label)
        if point.act == "remove":
            self.stage.service.datasets.add(name, "ann", DATASETS["tones"])
        self.stage.kill("api")
        child = self.stage.start("api", crash=label)
        _until(lambda: self.stage.answers() or not child.alive)
        ask = self._asking(label, point, name, job)
        with pytest.raises(httpx.TransportError):
            ask()
        self._dead(child, label)
        self.stage.start("api")
        _until(self.stage.answers)

    def _asking(
        self, label: str, point: Point, name: str, job: Submission | None
    ) -> Callable[[], httpx.Response]:
        """The request that leads to the label, written down as one that nobody answers."""
        rows = DATASETS["tones"]
        if point.act == "upload":
            self.history.upload(user="ann", kind="dataset", name=name, content=rows)
            body = "".join(row.to_json() + "\n" for row in rows)
            given = {"params": {"name": name}, "content": body}
            headers = {"Content-Type": "application/x-ndjson"}
            return lambda: self._http.post("/v1/datasets", headers=headers, **given)
        if point.act == "remove":
            sent = {"user": "ann", "kind": "dataset", "name": name, "content": rows}
            self.history.upload(**sent, deleted=False)
            return lambda: self._http.delete(f"/v1/datasets/{name}")
        if job is not None:
            return lambda: self._http.post(f"/v1/jobs/{job.id}/cancel")
        made = self._asked(label, "short")
        spec = {**VARIANTS["short"], "name": made.name}
        key = {"Idempotency-Key": made.key}
        return lambda: self._http.post("/v1/jobs", json=spec, headers=key)

    def _dead(self, child: Child, label: str) -> None:
        _until(lambda: not child.alive, f"{label}: {child.said[-2000:]}")
        child.stopped = True
        assert child.said.rstrip().endswith(f"dies at: {label}"), child.said[-2000:]

    def _asked(self, label: str, variant: str) -> Submission:
        name = self._name(label)
        return self.history.submission(user="ann", key=f"key-{name}", name=name, variant=variant)

    def _name(self, label: str) -> str:
        return "".join(letter if letter.isalnum() else "-" for letter in label)


@pytest.fixture
def crashes(tmp_path: Path, template: Path, nursery: Nursery) -> Iterator[Crashes]:
    short = {"lease_seconds": 1.5, "reconcile_seconds": 0.3, "resend_seconds": 0.6}
    stage = Stage(tmp_path / "stage", template, nursery, disk=False, **short, max_user_jobs=1000)
    try:
        stage.start("api")
        _until(stage.answers)
        yield Crashes(stage)
    finally:
        stage.close()


@pytest.mark.parametrize("role", ["api", "worker", "helper"])
def test_a_kill_at_every_commit_point_loses_nothing(
    crashes: Crashes, reference: Reference, role: str
) -> None:
    stage = crashes.stage
    labels = {label: point for label, point in LABELS.items() if point.role == role}
    assert labels
    for label, point in labels.items():
        if role == "helper":  # somebody's job must be left behind
            crashes.submit(label, "long")
            stage.start("worker-1")
            _until(lambda: stage.service.list("ann", state=JobState.RUNNING))
            stage.kill("worker-1")
        crashes.crash(label, point)
    wait_until_drained(stage, print)
    stage.drain()
    verdict = Checker(stage, crashes.history, reference, alone=True, quota=1000).check()
    assert verdict.faults == {}
    assert verdict.jobs >= verdict.succeeded > 0


def test_the_checker_sees_what_is_lost_doubled_and_unequal(
    crashes: Crashes, reference: Reference
) -> None:
    stage = crashes.stage
    jobs = [crashes.submit(f"job {number}", "short") for number in range(4)]
    stage.tend()
    wait_until_drained(stage, print)
    stage.drain()

    def faults() -> set[str]:
        return set(
            Checker(stage, crashes.history, reference, alone=True, quota=1000).check().faults
        )

    assert faults() == set()
    prompts = [stage.service.get(job.id or "", "ann").prompt or "" for job in jobs]
    paths = [stage.service.prompts.tensor_path(prompt) for prompt in prompts]
    shutil.rmtree(paths[0])
    assert faults() == {"lost"}
    shutil.copytree(os.fspath(paths[1]), os.fspath(paths[0]))
    assert faults() == set()
    shutil.rmtree(paths[0])
    write_orbax(paths[0], read_orbax(paths[1]) + 1e-3)
    assert faults() == {"unequal"}
    with stage.service.database.session() as session:
        changes = {"id": jobs[1].id, "other": jobs[2].id}
        session.execute(text("UPDATE jobs SET state = 'failed' WHERE id = :id"), changes)
        session.execute(text("UPDATE jobs SET step = step + 1 WHERE id = :other"), changes)
    assert {"changed", "stale", "unexpected", "lost"} <= faults()
    crashes.history.submissions.pop()
    assert "unexpected" in faults()


def _until(condition: Callable[[], object], what: str = "it") -> None:
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline, f"{what} not within {WAIT:g} s"
        time.sleep(0.02)
