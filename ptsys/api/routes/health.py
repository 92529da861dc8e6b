"""`/healthz`, `/readyz` and `/metrics`: for those who keep the service running."""

from __future__ import annotations

import shutil
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest

from ptsys.api.authentication import METRICS, caller_of
from ptsys.api.context import Context, Shared
from ptsys.api.problems import documented
from ptsys.errors import Forbidden, NotFound, Unavailable
from ptsys.jobs.pings import Pings
from ptsys.store.deployment import check_bound
from ptsys.store.disk import Disk, disk_state
from ptsys.types.model import Value

router = APIRouter(tags=["keeping"])


class Health(Value):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(Value):
    """Whether requests can be served, and what is missing if not. `disk` says whether uploads and
    prompts can be kept, `missing` names in words what stands in the way."""

    status: Literal["ready", "unavailable"]
    database: bool
    redis: bool
    disk: Disk
    models: list[str]
    missing: list[str]


@router.get("/healthz")
def healthz() -> Health:
    """The process lives."""
    return Health()


@router.get(
    "/readyz",
    responses={
        422: documented()[422],
        503: {"model": Readiness, "description": "`missing` says why not."},
    },
)
def readyz(
    response: Response,
    context: Shared,
    serving: Annotated[
        bool, Query(description="False asks whether jobs can be taken, with no worker there yet.")
    ] = True,
) -> Readiness:
    """Database and Redis answer, the data folder is theirs and can be written, a worker serves a
    model (`models`), and this process was not asked to end."""
    database, redis = _database(context), _redis(context)
    disk = disk_state(context.settings.root)
    models = context.ready_models() if redis else []
    missing = [
        what
        for what, there in {
            "the database": database,
            "the queue": redis,
            f"room to write: the disk is {disk}": disk == "ok",
            "a worker that serves a model": bool(models) or not serving,
            "time: this process ends": not context.leaving.is_set(),
        }.items()
        if not there
    ]
    if missing:
        response.status_code = 503
    return Readiness(
        status="unavailable" if missing else "ready",
        database=database,
        redis=redis,
        disk=disk,
        models=models,
        missing=missing,
    )


@router.get(
    METRICS,
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def metrics(request: Request, context: Shared) -> Response:
    """Counts for Prometheus. They name no user. `PTSYS_METRICS` keeps them for admins, or closes
    them."""
    caller = caller_of(request.scope)
    if context.settings.metrics == "closed":
        raise NotFound("metrics are closed here")
    if context.settings.metrics == "admins" and (caller is None or caller.role != "admin"):
        raise Forbidden("metrics are for keys of role 'admin' here")
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
    _add_backlog(context, registry)
    try:
        channel = context.link().channel
        registry.register(Pings(context.service.database, context.link().address))
        for worker in context.present():
            if worker.model is not None:
                workers.labels(worker.model).inc(worker.ready)
                residents.labels(worker.model).inc(worker.residents)
                waiting.labels(worker.model).set(channel.pending(worker.model))
    except Unavailable:
        pass
    return registry


def _add_backlog(context: Context, registry: CollectorRegistry) -> None:
    """Jobs, and for how long the oldest waits, by model."""
    jobs = Gauge("ptsys_jobs", "Jobs there are.", ("state", "model"), registry=registry)
    age = Gauge(
        "ptsys_queue_age_seconds",
        "How long ago the oldest queued job was submitted.",
        ("model",),
        registry=registry,
    )
    free = Gauge(
        "ptsys_data_free_bytes", "Free space where the data directory lies.", registry=registry
    )
    try:
        found = context.backlog()
        free.set(shutil.disk_usage(context.settings.root).free)
    except (Unavailable, OSError):
        return
    for (state, model), count in found.jobs.items():
        jobs.labels(state, model).set(count)
    for model in {model for _, model in found.jobs}:
        since = found.oldest.get(model)
        waited = 0.0 if since is None else (context.service.clock() - since).total_seconds()
        age.labels(model).set(max(0.0, waited))


def _database(context: Context) -> bool:
    try:
        check_bound(context.service.database, context.settings.root)
    except Unavailable:
        return False
    return True


def _redis(context: Context) -> bool:
    try:
        context.link().address.check()
    except Unavailable:
        return False
    return True
