import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny_model
from waiting import until
from worker_deployment import REPOSITORY, Deployment, alive, processes_of

from ptsys.jobs.presence import workers
from ptsys.types.records import JobState
from workers.sweep import TASK_SWEEP

pytestmark = pytest.mark.device

PARENT = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-m", "workers", "--cpu-only", "--with-parent"])
print(child.pid, flush=True)
time.sleep(600)
"""


def test_it_says_that_it_is_there_until_it_leaves(deploy: Callable[..., Deployment]) -> None:
    deployment = deploy()
    address = deployment.redis.address
    assert workers(address) == []
    worker = deployment.start_worker()
    until(lambda: len(workers(address)) == 1, 150)  # also while it loads
    worker.ready()
    until(lambda: workers(address)[0].ready, 20)
    [presence] = workers(address)
    model = deployment.service.models.get(tiny_model.NAME)
    assert (presence.pid, presence.model) == (worker.process.pid, tiny_model.NAME)
    assert presence.fingerprint == model.fingerprint
    assert f"ready: model {tiny_model.NAME} (fingerprint {model.fingerprint})" in worker.said
    job = deployment.submit("endless", steps=1_000_000, checkpoint_every=1_000_000)
    until(lambda: deployment.job(job).step > 0, 200)
    until(lambda: workers(address)[0].residents == 1, 20)
    until(lambda: workers(address)[0].training_rows > 0, 20)

    worker.process.send_signal(signal.SIGINT)  # Ctrl-C counts as SIGTERM does
    assert worker.process.wait(60) == 0
    assert workers(address) == []
    assert deployment.job(job).state is JobState.QUEUED
    pid = worker.process.pid
    assert pid not in processes_of(deployment.root)


def test_a_cancelled_job_does_not_wait_for_a_heartbeat(deploy: Callable[..., Deployment]) -> None:
    deployment = deploy(lease_seconds=240.0)  # a heartbeat a minute
    deployment.start_worker().ready()
    job = deployment.submit("endless", steps=1_000_000, checkpoint_every=1_000_000)
    until(lambda: deployment.job(job).step > 0, 100)
    deployment.service.cancel(job.id, "ann")
    assert deployment.ended(job, 20).state is JobState.CANCELLED


def test_a_second_signal_ends_it_at_once(deploy: Callable[..., Deployment]) -> None:
    deployment = deploy()
    worker = deployment.start_worker().ready()
    job = deployment.submit("endless", steps=1_000_000)
    until(lambda: deployment.job(job).state is JobState.RUNNING, 100)
    worker.process.send_signal(signal.SIGSTOP)  # so that both signals wait for it
    worker.process.send_signal(signal.SIGTERM)
    worker.process.send_signal(signal.SIGINT)
    worker.process.send_signal(signal.SIGCONT)
    assert worker.process.wait(10) in (128 + signal.SIGTERM, 128 + signal.SIGINT)


def test_a_worker_for_the_cpu_queue_sweeps_and_loads_no_jax(
    deploy: Callable[..., Deployment],
) -> None:
    deployment = deploy()
    (deployment.root / "jobs").mkdir()
    worker = deployment.start_worker("--cpu-only").ready()
    maps = Path(f"/proc/{worker.process.pid}/maps").read_text()
    assert "jaxlib" not in maps
    done = deployment.submit("done", steps=5)
    deployment.service.cancel(done.id, "ann")
    folder = deployment.root / "jobs" / done.id
    (folder / "checkpoints").mkdir(parents=True)
    deployment.service.queue().send_cpu(TASK_SWEEP)
    until(lambda: not folder.exists(), 60)
    assert worker.terminate()[0] == 0


def test_it_ends_with_its_parent(deploy: Callable[..., Deployment]) -> None:
    deployment = deploy()
    environment = {**os.environ, "PTSYS_DATA_DIR": str(deployment.root)}
    with (deployment.root / "parent.log").open("wb") as log:
        parent = subprocess.Popen(
            [sys.executable, "-c", PARENT],
            env=environment,
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    until(lambda: "ready:" in (deployment.root / "parent.log").read_text(), 150)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    until(lambda: not alive(pid), 60)


def test_without_redis_it_says_what_to_do(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "workers", "--cpu-only"],
        env={**os.environ, "PTSYS_DATA_DIR": str(tmp_path)},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 1
    assert "`ptsys up`" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_an_unknown_model_is_told_in_one_line(deploy: Callable[..., Deployment]) -> None:
    deployment = deploy()
    worker = deployment.start_worker("--model", "nowhere")
    assert worker.process.wait(150) == 1
    assert "no model 'nowhere'" in worker.said
    assert "Traceback" not in worker.said
    assert workers(deployment.redis.address) == []
