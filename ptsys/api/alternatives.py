"""What bodies say in JSON Schema of fields that go, or do not go, together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from pydantic.config import JsonDict

_NULL = {"type": "null"}
GIVEN: dict[str, Any] = {"not": _NULL}
"""Any value that is one."""

WORDS: dict[str, Any] = {"type": "string", "pattern": r"\S"}
"""A text that is not blank."""


def one_of(fields: Sequence[str], *others: dict[str, Any], none: bool = False) -> JsonDict:
    """One of these fields is given and the rest are null or left out; or all are, and that which
    `others` want; or, where `none`, nothing at all."""
    found: list[dict[str, Any]] = [
        {
            "required": [field],
            "properties": {name: GIVEN if name == field else _NULL for name in fields},
        }
        for field in fields
    ]
    absent = dict.fromkeys(fields, _NULL)
    found += [{"required": list(other), "properties": {**absent, **other}} for other in others]
    if none:
        found.append({"properties": absent})
    return cast(JsonDict, {"anyOf": found})
