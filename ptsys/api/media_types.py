"""What a body is, and what an answer shall be: the media types, as requests name them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final, Literal

from fastapi import Request

from ptsys.api.problems import Refused
from ptsys.errors import InvalidInput

SAFETENSORS: Final = "application/x-safetensors"
NPY: Final = "application/x-npy"
JSON: Final = "application/json"
PEFT: Final = "application/x-peft+zip"
ORBAX: Final = "application/x-orbax+zip"
Kind = Literal[
    "application/x-safetensors",
    "application/x-npy",
    "application/json",
    "application/x-peft+zip",
    "application/x-orbax+zip",
]


def content_type(request: Request, allowed: Sequence[Kind]) -> Kind:
    """The kind of the request's body. Raises Refused (415) for one that is not allowed."""
    given = media_type(request)
    for kind in allowed:
        if kind == given:
            return kind
    raise Refused(415, f"send the body as {' or '.join(allowed)}, and say so in Content-Type")


def media_type(request: Request) -> str:
    """What the request says its body is, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def accepted(request: Request, offered: Sequence[Kind], default: Kind) -> Kind:
    """The kind of answer that the request prefers. Raises Refused (406) if it wants none of these.

    Whatever is weighted 0 is not wanted; `*/*`, or no wish at all, means the default.
    """
    wanted = wishes(request.headers.get("accept", "*/*"))
    if not wanted:
        return default
    for wish in wanted:
        if wish in ("*/*", "application/*"):
            return default
        for kind in offered:
            if kind == wish:
                return kind
    raise Refused(406, f"the answer comes as {' or '.join(offered)}; ask for one in Accept")


def wishes(header: str) -> list[str]:
    """The media ranges of an Accept header, the most wanted first."""
    ranked = []
    for place, part in enumerate(header.split(",")):
        name, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    weight = float(parameter[2:])
                except ValueError:
                    weight = 0.0
        if name and weight > 0:
            ranked.append((-weight, place, name))
    return [name for _, _, name in sorted(ranked)]


def json_object(data: bytes, *, field: str | None = None) -> dict[str, Any]:
    """The JSON object in these bytes. Raises InvalidInput for anything else."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "not UTF-8, or too deep"
        raise InvalidInput(f"this is not JSON: {reason}", field=field) from None
    if not isinstance(value, dict):
        raise InvalidInput("a JSON object is wanted here", field=field)
    return value
