"""The application: routers and middleware."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware

import ptsys
from ptsys.api.authentication import Keys
from ptsys.api.context import Context
from ptsys.api.guarding import BrowserHeaders, Hosts
from ptsys.api.incoming import BodyLimits
from ptsys.api.media_types import NPY, SAFETENSORS
from ptsys.api.methods import Methods
from ptsys.api.observing import Observing
from ptsys.api.problems import add_handlers
from ptsys.config import Settings
from ptsys.jobs.service import Service

ROUTERS: dict[str, tuple[str, ...]] = {
    "gradients": ("gradients",),
    "predict": ("predict",),
    "select": ("select",),
    "jobs": ("jobs",),
    "events": ("jobs",),
    "search": ("prompts",),
    "library": ("prompts",),
    "prompts": ("prompts",),
    "meta_prompts": ("meta-prompts",),
    "generation": ("datasets",),
    "fitting": ("datasets",),
    "datasets": ("datasets",),
    "models": ("models",),
    "keys": ("me", "usage", "keys"),
    "tokens": ("tokens",),
    "health": (),
    "pages": (),
}
"""The modules of `ptsys.api.routes`, each with what its paths under `/v1/` begin with. Routes are
looked for in this order, so those that come most often stand first."""

_GZIP_BYTES = 2048
_GZIP_LEVEL = 1
_DESCRIPTION = """Prompt tuning as a service: many users' soft prompts on one frozen T5.

Errors are problem details (RFC 9457) that name the field. Nothing of a prediction or gradient
request is stored or logged."""


def create_app(
    settings: Settings | None = None, service: Service | None = None, *, owner: str | None = None
) -> FastAPI:
    """The ASGI application on these settings, by default those of the environment.

    Connections open when first wanted. A service that is given stays the giver's to close. With an
    `owner` it is for requests of that user's own process alone, who has the data folder anyway: no
    key is asked for, and nothing is hidden from them. No server may be given such an application.
    """
    settings = settings or (service.settings if service is not None else Settings())
    return application(Context(settings, service, owner=owner), list(ROUTERS))


def application(context: Context, modules: Sequence[str]) -> FastAPI:
    """The application with the routes of these modules alone; the context stays the giver's."""
    routers: list[APIRouter] = [
        importlib.import_module(f"ptsys.api.routes.{name}").router for name in modules
    ]
    settings = context.settings
    app = FastAPI(
        title="ptsys",
        version=ptsys.__version__,
        description=_DESCRIPTION,
        lifespan=_lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.context = context
    for router in routers:
        app.include_router(router)
    add_handlers(app)
    routes = [route for router in routers for route in router.routes]
    app.add_middleware(Methods, routes=routes)
    # Tensors do not shrink, and zipping them would take longer than the gradient.
    app.add_middleware(
        GZipMiddleware,
        minimum_size=_GZIP_BYTES,
        compresslevel=_GZIP_LEVEL,
        exclude_content_types=(*DEFAULT_EXCLUDED_CONTENT_TYPES, SAFETENSORS, NPY),
    )
    app.add_middleware(Keys)
    app.add_middleware(BodyLimits, settings=settings)
    app.add_middleware(Hosts, allowed=settings.allowed_hosts)
    app.add_middleware(
        Observing,
        metrics=context.metrics,
        leaving=context.leaving,
        log_requests=settings.log_requests,
    )
    app.add_middleware(BrowserHeaders)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    await app.state.context.aclose()


def _openapi(app: FastAPI) -> dict[str, Any]:
    from ptsys.api.openapi import openapi  # the schemas of all bodies

    return openapi(app)
