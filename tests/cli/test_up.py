"""`ptsys up` starts what is needed, keeps it running, and leaves nothing behind."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import MODEL, Run, clean_environment, command, running
from waiting import until

from ptsys.config import Settings
from ptsys.jobs.presence import workers
from ptsys.jobs.redis_server import running_address

pytestmark = pytest.mark.device
Up = subprocess.Popen[str]


@pytest.fixture
def up(imported: Path, tmp_path: Path) -> Iterator[Up]:
    """`ptsys up`, ready, on a data directory of its own."""
    root = tmp_path / "data"
    subprocess.run(["cp", "-r", str(imported), str(root)], check=True)
    process = subprocess.Popen(
        command("--data", root, "up", "--model", MODEL),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(),
    )
    try:
        until(lambda: process.poll() is not None or worker_pids(root), 90)
        assert process.poll() is None, process.communicate()
        yield process
    finally:
        process.kill()
        process.communicate()
        until(lambda: not running(str(root)), 20)


def worker_pids(root: Path) -> list[int]:
    address = running_address(root)
    return [] if address is None else [p.pid for p in workers(address) if p.ready]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_everything(up: Up, tmp_path: Path, number: signal.Signals) -> None:
    time.sleep(0.5)
    up.send_signal(number)
    out, err = up.communicate(timeout=60)
    assert up.returncode == 0, err
    assert out == ""
    assert "ready: model random" in err
    assert f"--data {tmp_path / 'data'} train" in err
    assert "stopped" in err
    assert "Traceback" not in err
    assert running(str(tmp_path / "data")) == []
    assert (tmp_path / "data" / "logs" / "worker-1.log").exists()


def test_a_killed_up_takes_its_children_along(up: Up, tmp_path: Path) -> None:
    up.kill()
    up.communicate(timeout=60)
    until(lambda: not running(str(tmp_path / "data")), 30)


def test_a_dead_worker_is_started_again(up: Up, tmp_path: Path) -> None:
    [first] = worker_pids(tmp_path / "data")
    os.kill(first, signal.SIGKILL)
    until(lambda: first not in worker_pids(tmp_path / "data"), 30)
    until(lambda: worker_pids(tmp_path / "data"), 60)
    up.send_signal(signal.SIGTERM)
    _, err = up.communicate(timeout=60)
    assert "worker 1 was ended by SIGKILL; it starts again in 1 s" in err
    assert "worker 1 is started again" in err


def test_a_dead_redis_is_started_again(up: Up, tmp_path: Path) -> None:
    import json

    root = tmp_path / "data"
    os.kill(json.loads((root / "redis.json").read_text())["pid"], signal.SIGKILL)
    until(lambda: worker_pids(root), 60)
    assert up.poll() is None


def test_a_worker_alone_needs_a_redis(run: Run) -> None:
    ended = run("worker")
    assert ended.code == 1
    assert "ptsys up" in ended.err


def test_a_worker_alone_works_on_the_redis_there_is(up: Up, tmp_path: Path) -> None:
    root = tmp_path / "data"
    alone = subprocess.Popen(
        command("--data", root, "worker", "--model", MODEL),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(),
    )
    try:
        until(lambda: alone.pid in worker_pids(root) or alone.poll() is not None, 60)
        assert alone.poll() is None, alone.communicate()
        alone.send_signal(signal.SIGINT)
        alone.communicate(timeout=60)
        assert alone.returncode == 0
    finally:
        alone.kill()


def test_settings_reach_the_worker_whole() -> None:
    from ptsys.stack.worker_process import environment

    settings = Settings(data_dir=Path("/x"), user="ann", max_rows=7, redis_url=None)
    assert environment(settings)["PTSYS_MAX_ROWS"] == "7"
    assert environment(settings)["PTSYS_DATA_DIR"] == "/x"
    assert "PTSYS_REDIS_URL" not in environment(settings)
