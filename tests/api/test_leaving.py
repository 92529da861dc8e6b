"""An API process that was asked to end serves on for a while, and breaks nothing off."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from http_clients import MODEL
from waiting import until
from worker_deployment import REPOSITORY, Deployment

from ptsys.jobs.presence import workers
from ptsys.stack.ports import free_port

HOST = "127.0.0.1"
Start = Callable[..., tuple[str, subprocess.Popen[bytes]]]


@pytest.fixture
def start(deployment: Deployment) -> Iterator[Start]:
    """Starts an API process that answers."""
    processes: list[subprocess.Popen[bytes]] = []

    def make(**settings: object) -> tuple[str, subprocess.Popen[bytes]]:
        port = free_port(HOST, 0, 0)
        kept = {name: x for name, x in os.environ.items() if not name.startswith("PTSYS_")}
        values = {"data_dir": deployment.root, **settings}
        given = {f"PTSYS_{name.upper()}": str(value) for name, value in values.items()}
        command = [sys.executable, "-m", "ptsys.api", "--port", str(port)]
        process = subprocess.Popen(command, env={**kept, **given}, cwd=REPOSITORY)
        processes.append(process)

        def answers() -> bool:
            with contextlib.suppress(httpx.TransportError):
                return httpx.get(f"http://{HOST}:{port}/healthz").status_code == 200
            return False

        until(answers, 60)
        return f"http://{HOST}:{port}", process

    yield make
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.wait()


def test_it_tells_balancers_to_leave_and_serves_on_until_then(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.settimeout(20)
        systemd.bind(str(tmp_path / "notify"))
        url, process = start(leave_seconds=1.5)
        assert systemd.recv(1000).startswith(b"READY=1")
        with httpx.Client(base_url=url) as client:
            assert client.get("/readyz?serving=false").status_code == 200
            process.send_signal(signal.SIGTERM)
            since = time.monotonic()
            until(lambda: client.get("/readyz?serving=false").status_code == 503, 1.2)
            answer = client.get("/healthz")
            assert answer.status_code == 200
            assert answer.headers["Connection"] == "close"
        assert process.wait(20) == -signal.SIGTERM
        assert time.monotonic() - since >= 1.5
        assert systemd.recv(1000).startswith(b"STOPPING=1")


def test_a_request_under_way_is_answered_before_it_ends(
    start: Start, deployment: Deployment
) -> None:
    url, process = start(drain_seconds=30, request_seconds=60)
    worker = deployment.start_worker()  # it loads for some seconds: the request waits for it
    _, secret = deployment.service.keys.create("ann")
    answers: list[httpx.Response] = []

    def ask() -> None:
        body = {"model": MODEL, "inputs": ["red stone"], "decoding": {"max_tokens": 2}}
        headers = {"Authorization": f"Bearer {secret}"}
        answers.append(httpx.post(f"{url}/v1/predict", json=body, headers=headers, timeout=60))

    def asked() -> bool:
        told = httpx.get(f"{url}/metrics").text
        return "ptsys_http_requests_under_way 2.0" in told  # that one and this

    thread = threading.Thread(target=ask)
    try:
        until(lambda: workers(deployment.redis.address), 60)  # it is there, ready or not
        thread.start()
        until(asked, 20)
        process.send_signal(signal.SIGTERM)
        thread.join(60)
        assert [answer.status_code for answer in answers] == [200], answers[0].text
        assert process.wait(20) == -signal.SIGTERM
    finally:
        worker.terminate()
