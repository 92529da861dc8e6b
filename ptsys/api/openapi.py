"""The OpenAPI description of the application; it leaves nothing out."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from ptsys.api.counting import TokensBody
from ptsys.api.generating import GenerateBody
from ptsys.api.pages import Page
from ptsys.api.problems import Problem
from ptsys.api.questions import Gradients, GradientsBody, PredictBody
from ptsys.api.searching import SearchBody
from ptsys.api.selecting import SelectBody
from ptsys.api.writing import WriteBody, WrittenPrompt
from ptsys.types.records import Event


def openapi(app: FastAPI) -> dict[str, Any]:
    """The description of all its routes, made once."""
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
        (WriteBody, "validation"),
        (SelectBody, "validation"),
        (TokensBody, "validation"),
        (Gradients, "serialization"),
        (WrittenPrompt, "serialization"),
        (Page[Event], "serialization"),
        (Problem, "serialization"),
    ]
    _, definitions = models_json_schema(
        kinds,  # type: ignore[arg-type]
        ref_template="#/components/schemas/{model}",
    )
    schemas: dict[str, Any] = definitions["$defs"]
    return schemas
