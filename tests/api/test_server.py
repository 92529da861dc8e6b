"""The API as a process of its own, on a real socket."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest
from waiting import until
from worker_deployment import REPOSITORY, Deployment

from ptsys.errors import Unavailable
from ptsys.stack.ports import free_port

HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def server(deployment: Deployment) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    port = free_port(HOST, 0, 0)
    kept = {name: x for name, x in os.environ.items() if not name.startswith("PTSYS_")}
    given = {"PTSYS_DATA_DIR": str(deployment.root), "PTSYS_BODY_SECONDS": "0.5"}
    process = subprocess.Popen(
        [sys.executable, "-m", "ptsys.api", "--port", str(port)],
        env={**kept, **given},
        cwd=REPOSITORY,
    )
    until(lambda: _answers(port), 60, process)
    yield port, process
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) in (0, -signal.SIGTERM)


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://{HOST}:{port}/healthz").status_code == 200
    except httpx.TransportError:
        return False


def test_a_slow_body_is_given_up_and_others_go_on(
    server: tuple[int, subprocess.Popen[bytes]], deployment: Deployment
) -> None:
    port, _ = server
    _, secret = deployment.service.keys.create("slow")
    head = (
        f"POST /v1/predict HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {secret}\r\n"
        "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
    )
    with socket.create_connection((HOST, port), timeout=20) as slow:
        slow.sendall(head.encode() + b'{"inputs"')
        headers = {"Authorization": f"Bearer {secret}"}
        assert httpx.get(f"http://{HOST}:{port}/v1/me", headers=headers).status_code == 200
        assert b" 408 " in slow.recv(65536).split(b"\r\n")[0]


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /v1/me\0 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 60 + b"\r\n\r\n",
    ],
    ids=range(6),
)
def test_what_is_no_request_harms_nothing(
    server: tuple[int, subprocess.Popen[bytes]], sent: bytes
) -> None:
    port, process = server
    with socket.create_connection((HOST, port), timeout=20) as wrong:
        answer = b""
        with contextlib.suppress(OSError):  # the server may have hung up before all was sent
            wrong.sendall(sent)
            wrong.shutdown(socket.SHUT_WR)
            answer = wrong.recv(65536)
    assert answer == b"" or answer.split(b" ")[1].startswith(b"4")
    assert httpx.get(f"http://{HOST}:{port}/healthz").status_code == 200
    assert process.poll() is None


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Unavailable, match=str(port)):
            free_port(HOST, port, 0)
        assert free_port(HOST, None, port) != port
    assert free_port(HOST, port, 0) == port


def test_it_starts_without_the_accelerator_stack() -> None:
    code = (
        "import sys, ptsys.api.server\n"
        "print([name for name in ('jax', 'flax', 'optax', 'orbax') if name in sys.modules])"
    )
    out = subprocess.check_output([sys.executable, "-c", code], cwd=REPOSITORY, text=True)
    assert out.strip() == "[]"
