"""Each request gets an id, is counted, and never takes the process down.

What is logged of a failure is where it happened: the text of an unforeseen error may hold pieces
of a user's rows.
"""

from __future__ import annotations

import logging
import re
import threading
import time
import traceback
import uuid

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import ptsys
from ptsys.api.problems import problem
from ptsys.process.logs import naming
from ptsys.process.traces import span

logger = logging.getLogger(__name__)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SECONDS = (0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1, 2, 5, 15, 60)
_STATEMENT_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.03, 0.1, 0.3, 1, 5)


class Metrics:
    """What the API counts. Paths are templates: no user's names, and few of them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        build = Gauge("ptsys_build", "Always 1.", ("version",), registry=self.registry)
        build.labels(ptsys.__version__).set(1)
        self.requests = Counter(
            "ptsys_http_requests",
            "HTTP requests answered.",
            ("method", "path", "status"),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "ptsys_http_request_seconds",
            "Time until the answer's last byte.",
            ("path",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.statements = Histogram(
            "ptsys_database_statement_seconds",
            "How long the database took for a statement.",
            buckets=_STATEMENT_SECONDS,
            registry=self.registry,
        )
        self.under_way = Gauge(
            "ptsys_http_requests_under_way",
            "HTTP requests not answered yet.",
            registry=self.registry,
        )
        self.rows = Counter(
            "ptsys_rows", "Rows answered by workers.", ("kind", "model"), registry=self.registry
        )


class Observing:
    """Middleware around everything else."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: Metrics,
        leaving: threading.Event | None = None,
        log_requests: bool = False,
    ) -> None:
        """Once `leaving` is set, every answer asks its client to open a new connection next."""
        self._app = app
        self._metrics = metrics
        self._leaving = leaving or threading.Event()
        self._log_requests = log_requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and watch its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = _request_id(headers)
        scope["ptsys.request_id"] = request_id
        given = {"traceparent": headers["traceparent"]} if "traceparent" in headers else None
        with naming(request=request_id), span("request", given, request=request_id) as traced:
            await self._answer(scope, receive, send, request_id)
            if traced is not None:  # the path is known only now; its template names nobody
                path = getattr(scope.get("route"), "path", "unknown")
                traced.update_name(f"{scope['method']} {path}")

    async def _answer(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        since = time.perf_counter()
        status = 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                if self._leaving.is_set():
                    headers["Connection"] = "close"
            await send(message)

        self._metrics.under_way.inc()
        try:
            await self._app(scope, receive, watched)
        except Exception as error:
            _log(request_id, error)
            if status:  # the answer has begun: all that is left is to break it off
                raise RuntimeError("an answer broke off; the log says where") from None
            detail = f"the service failed; tell its keeper this id: {request_id}"
            await problem(request_id, 500, detail)(scope, receive, watched)
        finally:
            self._metrics.under_way.dec()
            self._count(scope, status, time.perf_counter() - since)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        path = getattr(scope.get("route"), "path", "unknown")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.requests.labels(method, path, str(status)).inc()
        self._metrics.seconds.labels(path).observe(seconds)
        if self._log_requests:
            told = {"method": method, "path": path, "status": status}
            told["milliseconds"] = round(1000 * seconds, 1)
            logger.info("%(method)s %(path)s %(status)d", told, extra=told)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def _request_id(headers: Headers) -> str:
    given = headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex[:16]


def _log(request_id: str, error: BaseException) -> None:
    frames = "".join(traceback.format_tb(error.__traceback__))
    logger.error("request %s failed with %s\n%s", request_id, type(error).__name__, frames)
