"""Whatever writes into the data folder writes for its user alone, also under a generous umask."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest
from commands import clean_environment, command
from waiting import until

from ptsys.stack.ports import free_port

HOST = "127.0.0.1"


def start(root: Path, arguments: list[str], **values: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        arguments,
        env=clean_environment(PTSYS_DATA_DIR=root, JAX_PLATFORMS="cpu", **values),
        umask=0o022,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def run(root: Path, *arguments: object) -> str:
    process = start(root, command("--data", root, *arguments))
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    return said


def open_to_others(root: Path) -> list[str]:
    return [
        f"{path.relative_to(root.parent)} {path.stat().st_mode & 0o777:o}"
        for path in (root, *root.rglob("*"))
        if path.stat().st_mode & 0o077
    ]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "service"


def test_the_command_line_writes_for_its_user_alone(root: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", np.ones((2, 128), np.float32))
    run(root, "prompts", "import", tmp_path / "p.npy", "--name", "p")
    run(root, "prompts", "export", "p", tmp_path / "q.npy")
    assert open_to_others(root) == []
    assert {path.name for path in root.iterdir()} >= {"ptsys.db", "prompts", "deployment.json"}
    assert (tmp_path / "q.npy").stat().st_mode & 0o777 == 0o644  # a result, where the user said


def test_redis_the_api_and_a_worker_write_for_their_user_alone(root: Path) -> None:
    secret = run(root, "keys", "create", "ann").splitlines()[0]
    port = free_port(HOST, None, 0)
    redis = (
        "import sys, time; from pathlib import Path; from ptsys.jobs.redis_server import "
        "EmbeddedRedis; r = EmbeddedRedis(Path(sys.argv[1])); r.start(); print('up', flush=True); "
        "time.sleep(600)"
    )
    running = [start(root, [sys.executable, "-c", redis, str(root)])]
    try:
        assert running[0].stdout is not None
        assert running[0].stdout.readline() == "up\n"
        running.append(start(root, [sys.executable, "-m", "workers", "--cpu-only"]))
        running.append(start(root, [sys.executable, "-m", "ptsys.api", "--port", str(port)]))
        url = f"http://{HOST}:{port}"
        until(lambda: answers(url), 120)
        row = b'{"input": "a", "target": "b"}'
        lines = {"Content-Type": "application/x-ndjson"}
        client = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {secret}"})
        made = client.post("/v1/datasets?name=d", content=row, headers=lines)
        body = {"tensor": np.ones((2, 128)).tolist()}
        kept = client.post("/v1/prompts?name=p", json=body)
        assert (made.status_code, kept.status_code) == (201, 201), made.text + kept.text
        assert running[1].stdout is not None
        while "ready:" not in (line := running[1].stdout.readline()):
            assert line, "the worker ended"
        assert open_to_others(root) == []
    finally:
        for process in running[::-1]:
            process.terminate()
            process.communicate(timeout=30)
    assert {path.name for path in root.iterdir()} >= {"datasets", "prompts", "redis.log"}


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz").status_code == 200
    except httpx.TransportError:
        return False


def test_a_folder_of_before_is_closed(root: Path) -> None:
    root.mkdir(mode=0o755)
    os.chmod(root, 0o755)
    run(root, "keys", "list")
    assert root.stat().st_mode & 0o777 == 0o700
