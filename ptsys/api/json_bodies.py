"""JSON bodies that may be large: read where they hold up nobody."""

from __future__ import annotations

from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from ptsys.api.context import SMALL_BODY, Context
from ptsys.api.media_types import JSON, content_type, json_object
from ptsys.api.problems import wrong_fields
from ptsys.errors import InvalidInput

Body = TypeVar("Body", bound=BaseModel)


async def read_json(request: Request, context: Context, kind: type[Body]) -> Body:
    """The body as such a value. Raises Refused (415) for a body of another kind, InvalidInput
    naming the field for a wrong one."""
    content_type(request, (JSON,))
    data = await request.body()
    if len(data) > SMALL_BODY:
        value, _ = await context.readers.read(kind.__name__, data, JSON)
        return kind.model_validate(value)
    return await context.in_thread(parse_json, data, kind)


def parse_json(data: bytes, kind: type[Body]) -> Body:
    """As `read_json`, from a body's bytes."""
    return validated(kind, json_object(data))


def validated(kind: type[Body], value: dict[str, Any]) -> Body:
    """The value, once it is known to be one. Raises InvalidInput naming the first wrong field."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = wrong_fields(error.errors(include_input=False, include_url=False))[0]
        raise InvalidInput(f"{first.field}: {first.detail}", field=first.field) from None


def documented_json(name: str, examples: list[dict[str, Any]]) -> dict[str, Any]:
    """What OpenAPI says of such a body, which is the schema `name`."""
    shown = {f"example {place}": {"value": one} for place, one in enumerate(examples, start=1)}
    content = {JSON: {"schema": {"$ref": f"#/components/schemas/{name}"}, "examples": shown}}
    return {"requestBody": {"required": True, "content": content}}
