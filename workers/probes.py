"""A worker's own small HTTP server: probes for who starts and ends it, and metrics."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from ptsys.config import Settings
from ptsys.errors import Unavailable

Check = Callable[[], str | None]
"""None if all is well, else what is wrong."""


class Probes:
    """`/startupz`, `/healthz` and `/readyz` answer 200 or 503 by their checks; `/metrics` is the
    registry's, once there is one."""

    def __init__(self, host: str, port: int, checks: dict[str, Check]) -> None:
        """Listen; port 0 takes one that is free. Raises OSError."""
        self._checks = checks
        self.registry: CollectorRegistry | None = None
        self._server = http.server.ThreadingHTTPServer((host, port), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, name="probes", daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str) -> tuple[int, str, bytes]:
        """Status, content type and body for a path."""
        if path == "/metrics":
            body = b"" if self.registry is None else generate_latest(self.registry)
            return 200, CONTENT_TYPE_LATEST, body
        check = self._checks.get(path)
        if check is None:
            return 404, "application/json", b'{"status": "there is nothing here"}'
        wrong = check()
        body = json.dumps({"status": wrong or "ok"}).encode()
        return 200 if wrong is None else 503, "application/json", body

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        probes = self

        class Handler(http.server.BaseHTTPRequestHandler):
            timeout = 5.0  # seconds that a silent client is waited for
            server_version = "ptsys"

            def do_GET(self) -> None:
                status, kind, body = probes.answer(self.path.partition("?")[0])
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *_: Any) -> None:
                pass  # probes come every few seconds

        return Handler


def open_probes(settings: Settings, unready: Check, unwell: Check) -> Probes | None:
    """The probes that the settings ask for. A worker has started once it was ready, lives while
    it is not `unwell`, and takes work unless it is `unready`. Raises Unavailable if the port is
    taken."""
    if settings.worker_port is None:
        return None
    started = False

    def starting() -> str | None:
        nonlocal started
        wrong = None if started else unready()
        started = wrong is None
        return wrong

    checks = {"/startupz": starting, "/healthz": unwell, "/readyz": unready}
    try:
        return Probes(settings.worker_host, settings.worker_port, checks)
    except OSError as error:
        raise Unavailable(
            f"probes cannot listen on {settings.worker_host}:{settings.worker_port} "
            f"({error.strerror}); set PTSYS_WORKER_PORT to a port that is free"
        ) from error
