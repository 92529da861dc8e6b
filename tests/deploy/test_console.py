"""A Prometheus that really runs takes the configuration of one machine, serves the console and
answers what it and Grafana's dashboard ask."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from programs import Program
from prometheus_client import generate_latest

from ptsys.engine.steps import StepEnded
from ptsys.stack.ports import free_port
from workers.measures import Measures

HOST = "127.0.0.1"
NEEDS_A_DEVICE = {"Device memory"}


class _Metrics(BaseHTTPRequestHandler):
    """A worker's page, after a step of ann's and the end of a job."""

    measures = Measures("tiny", users=True)

    def do_GET(self) -> None:
        """The page."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(generate_latest(self.measures.registry))

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def prometheus(
    program: Program, deploy_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("prometheus")
    worker = ThreadingHTTPServer((HOST, 0), _Metrics)
    threading.Thread(target=worker.serve_forever, daemon=True).start()
    observability = deploy_folder / "observability"
    text = (observability / "prometheus.yml").read_text()
    text = text.replace("9401", str(worker.server_port)).replace("15s", "500ms")
    (folder / "prometheus.yml").write_text(text)
    (folder / "ptsys-rules.yaml").write_text((observability / "rules.yaml").read_text())
    (folder / "consoles").mkdir()
    (folder / "consoles" / "ptsys.html").write_text((observability / "console.html").read_text())
    port = free_port(HOST, 0, 0)
    server = subprocess.Popen(
        [
            program("prometheus"),
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/data",
            f"--web.console.templates={folder}/consoles",
            f"--web.listen-address={HOST}:{port}",
        ],
        stderr=subprocess.DEVNULL,
    )
    try:
        with httpx.Client(base_url=f"http://{HOST}:{port}", timeout=20) as client:
            yield client
    finally:
        server.terminate()
        server.wait(20)
        worker.shutdown()
        worker.server_close()


def ask(client: httpx.Client, path: str, **values: Any) -> Any:
    told = client.get(f"/api/v1/{path}", params=values).json()
    assert told["status"] == "success", told
    return told["data"]


def until(client: httpx.Client, query: str) -> None:
    """Wait until the query has an answer other than nothing and 0."""
    for _ in range(100):
        try:
            if any(float(one["value"][1]) for one in ask(client, "query", query=query)["result"]):
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise AssertionError(f"no answer to {query}")


def test_every_panel_is_answered(prometheus: httpx.Client, deploy_folder: Path) -> None:
    until(prometheus, 'up{job="ptsys-worker"}')
    measures = _Metrics.measures
    for wanted in ("ptsys_step_rows_total", "rate(ptsys_step_rows_total[1m])"):  # two samples
        measures.step(StepEnded("train", 6, 8, 0.1, False, {"ann": 6}))
        until(prometheus, wanted)
    measures.job_ended("succeeded")
    # the very first end of a job is one that grew, as the counter stood at 0 before
    until(prometheus, 'rate(ptsys_jobs_ended_total{how="succeeded"}[1m])')
    board = json.loads((deploy_folder / "observability" / "dashboard.json").read_text())
    answered = set()
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            if ask(prometheus, "query", query=target["expr"])["result"]:
                answered.add(panel["title"])
    assert {"Batch fill", "Rows a second, by user", "Runs that ended, a minute"} <= answered
    assert not answered & NEEDS_A_DEVICE
    groups = ask(prometheus, "rules")["groups"]
    assert {rule["health"] for group in groups for rule in group["rules"]} <= {"ok", "unknown"}


def test_the_console_is_served_as_it_was_made(prometheus: httpx.Client) -> None:
    until(prometheus, "vector(1)")
    served = prometheus.get("/consoles/ptsys.html")
    assert served.status_code == 200
    assert served.headers["content-type"].startswith("text/html")
    assert "Who uses what?" in served.text
    assert "\\u007b\\u007bstatus\\u007d\\u007d" in served.text
    assert served.text.rstrip().endswith("</html>")
