"""The application: routers, middleware and an OpenAPI that leaves nothing out."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware

import ptsys
from ptsys.api.authentication import Keys
from ptsys.api.context import Context
from ptsys.api.counting import TokensBody
from ptsys.api.generating import GenerateBody
from ptsys.api.guarding import BrowserHeaders, Hosts
from ptsys.api.incoming import BodyLimits
from ptsys.api.methods import Methods
from ptsys.api.observing import Observing
from ptsys.api.pages import Page
from ptsys.api.problems import Problem, add_handlers
from ptsys.api.questions import Gradients, GradientsBody, PredictBody
from ptsys.api.routes import (
    datasets,
    events,
    fitting,
    generation,
    gradients,
    health,
    jobs,
    keys,
    library,
    models,
    pages,
    predict,
    prompts,
    search,
    select,
    tokens,
)
from ptsys.api.searching import SearchBody
from ptsys.api.selecting import SelectBody
from ptsys.api.tensors import NPY, SAFETENSORS
from ptsys.config import Settings
from ptsys.jobs.service import Service
from ptsys.types.records import Event

# routes are looked for in this order, so those that come most often stand first
_ROUTERS = (
    gradients,
    predict,
    select,
    jobs,
    events,
    search,
    library,
    prompts,
    generation,
    fitting,
    datasets,
    models,
    keys,
    tokens,
    health,
    pages,
)
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
    context = Context(settings, service, owner=owner)
    app = FastAPI(
        title="ptsys",
        version=ptsys.__version__,
        description=_DESCRIPTION,
        lifespan=_lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.context = context
    for module in _ROUTERS:
        app.include_router(module.router)
    add_handlers(app)
    routes = [route for module in _ROUTERS for route in module.router.routes]
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
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        for methods in schema["paths"].values():
            for operation in methods.values():
                for parameter in operation.get("parameters", ()):
                    parameter["schema"] = _without_null(parameter["schema"])
        known = schema.setdefault("components", {}).setdefault("schemas", {})
        known.update(_schemas())
        app.openapi_schema = schema
    return app.openapi_schema


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter's schema: what may be left out of a URL or a head has no null there."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind.get("type") != "null"]
    if len(kinds) != 1:
        return schema
    return {**kinds[0], **{name: value for name, value in schema.items() if name != "anyOf"}}


def _schemas() -> dict[str, Any]:
    """The shapes that routes refer to by name, because they come or go in several forms."""
    kinds = [
        (PredictBody, "validation"),
        (GradientsBody, "validation"),
        (GenerateBody, "validation"),
        (SearchBody, "validation"),
        (SelectBody, "validation"),
        (TokensBody, "validation"),
        (Gradients, "serialization"),
        (Page[Event], "serialization"),
        (Problem, "serialization"),
    ]
    _, definitions = models_json_schema(
        kinds,  # type: ignore[arg-type]
        ref_template="#/components/schemas/{model}",
    )
    found: dict[str, Any] = definitions["$defs"]
    return found
