"""What a worker tells those who keep it: probes, metrics, JSON logs, systemd, an exit code."""

import json
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import tiny_model
from waiting import until
from worker_deployment import Deployment, free_port, metric

from ptsys.types.records import JobState

pytestmark = pytest.mark.device

PREEMPTED = 75


def test_probes_metrics_logs_and_the_end_by_sigterm(
    deploy: Callable[..., Deployment], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment, port = deploy(), free_port()
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "4000000")
    systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    systemd.settimeout(20)
    systemd.bind(str(tmp_path / "notify"))
    worker = deployment.start_worker(
        worker_port=port,
        log_format="json",
        metrics_users=True,
        drained_exit_code=PREEMPTED,
    )
    web = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10)

    def status(path: str) -> int:
        try:
            return web.get(path).status_code
        except httpx.TransportError:
            return 0

    until(lambda: status("/healthz") == 200, 100)  # it lives before it has loaded
    assert status("/startupz") == status("/readyz") == 503 or "ready:" in worker.said
    worker.ready()
    until(lambda: status("/startupz") == status("/readyz") == 200, 20)
    assert status("/nothing") == 404
    assert systemd.recv(1000).startswith(b"READY=1\nSTATUS=serves model mini")
    assert systemd.recv(1000) == b"WATCHDOG=1"

    question = {"user": "eve", "model": tiny_model.NAME, "inputs": ["red stone"]}
    deployment.asker().call(tiny_model.NAME, "predict", question)
    job = deployment.submit("endless", steps=1_000_000, checkpoint_every=1_000_000)
    until(lambda: deployment.job(job).step > 3, 200)
    told = web.get("/metrics").text
    assert metric(told, 'ptsys_step_rows_total{kind="train"}') > 3 * 16
    assert metric(told, 'ptsys_user_rows_total{kind="generate",user="eve"}') == 1
    assert metric(told, 'ptsys_user_device_seconds_total{kind="train",user="ann"}') > 0
    rows, room = (metric(told, f"ptsys_step_{name}_total") for name in ("rows", "room"))
    assert 0 < rows <= room
    whole = metric(told, "ptsys_step_seconds_sum")
    shares = metric(told, "ptsys_user_device_seconds_total")
    assert shares == pytest.approx(whole, rel=1e-6)
    assert metric(told, 'ptsys_compile_seconds_count{kind="train"}') >= 1
    assert metric(told, 'ptsys_compile_seconds_count{kind="generate"}') >= 1
    assert metric(told, "ptsys_database_statement_seconds_count") > 0
    assert metric(told, "ptsys_dependency_up") == 2
    assert metric(told, "ptsys_jobs_held") == metric(told, "ptsys_worker_ready") == 1

    code, _ = worker.terminate()
    assert code == PREEMPTED
    given = deployment.job(job)
    assert given.state is JobState.QUEUED
    assert given.attempts == 0
    assert given.step == deployment.checkpoints(job)[-1]  # no step is lost
    lines = [json.loads(line) for line in worker.said.splitlines() if line.startswith("{")]
    assert any(line.get("job") == job.id and "given back" in line["message"] for line in lines)
    systemd.close()
    web.close()


def test_a_worker_that_still_loads_ends_with_the_same_code(
    deploy: Callable[..., Deployment],
) -> None:
    worker = deploy().start_worker(drained_exit_code=PREEMPTED, worker_port=(port := free_port()))

    def listens() -> bool:
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", port)) == 0

    until(listens, 60)
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(30) == PREEMPTED
