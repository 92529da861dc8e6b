"""`/healthz`, `/readyz` and `/metrics`: for those who keep the service running."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest
from sqlalchemy import text

from ptsys.api.context import Context, Shared
from ptsys.errors import Unavailable
from ptsys.types.model import Value

router = APIRouter(tags=["keeping"])


class Health(Value):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(Value):
    """Whether requests can be served, and what is missing if not."""

    status: Literal["ready", "unavailable"]
    database: bool
    redis: bool
    models: list[str]


@router.get("/healthz")
def healthz() -> Health:
    """The process lives."""
    return Health()


@router.get(
    "/readyz", responses={503: {"model": Readiness, "description": "Database or Redis is away."}}
)
def readyz(response: Response, context: Shared) -> Readiness:
    """Database and Redis answer; `models` are those that a worker serves now."""
    database, redis = _database(context), _redis(context)
    ready = database and redis
    if not ready:
        response.status_code = 503
    return Readiness(
        status="ready" if ready else "unavailable",
        database=database,
        redis=redis,
        models=context.ready_models() if redis else [],
    )


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def metrics(context: Shared) -> Response:
    """Counts for Prometheus. They name no user."""
    data = generate_latest(context.metrics.registry) + generate_latest(_now(context))
    return Response(data, headers={"Content-Type": CONTENT_TYPE_LATEST})


def _now(context: Context) -> CollectorRegistry:
    """What is looked up when it is asked for."""
    registry = CollectorRegistry()
    workers = Gauge("ptsys_workers_ready", "Workers that serve.", ("model",), registry=registry)
    residents = Gauge("ptsys_residents", "Jobs on devices.", ("model",), registry=registry)
    waiting = Gauge(
        "ptsys_requests_waiting", "Requests no worker took.", ("model",), registry=registry
    )
    try:
        channel = context.link().channel
        for worker in context.present():
            if worker.model is not None:
                workers.labels(worker.model).inc(worker.ready)
                residents.labels(worker.model).inc(worker.residents)
                waiting.labels(worker.model).set(channel.pending(worker.model))
    except Unavailable:
        pass
    return registry


def _database(context: Context) -> bool:
    try:
        with context.service.database.reading() as session:
            session.execute(text("SELECT 1"))
    except Unavailable:
        return False
    return True


def _redis(context: Context) -> bool:
    try:
        context.link().address.check()
    except Unavailable:
        return False
    return True
