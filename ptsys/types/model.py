"""The root of all value types."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any, ClassVar

from pydantic import (
    BaseModel,
    ConfigDict,
    GetJsonSchemaHandler,
    ValidationError,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError


@dataclasses.dataclass(frozen=True)
class Unset:
    """Beside a field's type: what it means to leave it at None, for people to read."""

    told: str


UNKNOWN = "extra_forbidden"
"""What pydantic calls a key that is no field."""

_MOST_KEYS = 200  # more than any value has fields


class Value(BaseModel):
    """Immutable, and strict about unknown keys and about what is a number: `true` is none, nor is
    `"5"`, and `1` is no truth."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    from_words: ClassVar[bool] = False
    """Its fields come as words of a URL, where numbers have no other form."""

    _numbers: ClassVar[frozenset[str]] = frozenset()
    _truths: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        kinds = {name: _kinds(field.annotation) for name, field in cls.model_fields.items()}
        cls._numbers = frozenset(name for name, found in kinds.items() if _is_number(found))
        cls._truths = frozenset(n for n, found in kinds.items() if found - {type(None)} == {bool})

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        found = handler(core_schema)
        properties = handler.resolve_ref_schema(found).get("properties", {})
        for name, field in cls.model_fields.items():
            for one in field.metadata:
                if isinstance(one, Unset) and name in properties:
                    told = f"{field.description or ''} Unset: {one.told}.".lstrip()
                    properties[name]["description"] = told
        return found

    @model_validator(mode="before")
    @classmethod
    def _means_what_it_says(cls, given: Any) -> Any:
        if not isinstance(given, dict) or cls.from_words:
            return given
        if len(given) > _MOST_KEYS:  # one of them is told of, not a hundred thousand
            unknown = next(key for key in given if key not in cls.model_fields)
            line = InitErrorDetails(type=UNKNOWN, loc=(str(unknown),), input=None)
            raise ValidationError.from_exception_data(cls.__name__, [line])
        wrong = [
            _wrong("a number is wanted here", name)
            for name in cls._numbers
            if isinstance(given.get(name), bool | str)
        ]
        wrong += [
            _wrong("true or false is wanted here", name)
            for name in cls._truths
            if not isinstance(given.get(name), bool | None)
        ]
        if wrong:
            raise ValidationError.from_exception_data(cls.__name__, wrong)
        return given


def refusal(told: str, *where: str | int, kind: str = "value_error") -> ValidationError:
    """An error of a value at a field, as pydantic's own."""
    return ValidationError.from_exception_data("Value", [_wrong(told, *where, kind=kind)])


def _kinds(annotation: Any) -> set[Any]:
    """The types that a field may have, those of a union one by one."""
    inner = typing.get_args(annotation)
    if typing.get_origin(annotation) is typing.Annotated:
        return _kinds(inner[0])
    if typing.get_origin(annotation) in (typing.Union, typing.get_origin(int | str)):
        return {kind for one in inner for kind in _kinds(one)}
    return {annotation}


def _is_number(kinds: set[Any]) -> bool:
    return bool(kinds & {int, float}) and kinds <= {int, float, type(None)}


def _wrong(told: str, *where: str | int, kind: Any = "value_error") -> InitErrorDetails:
    reason = PydanticCustomError(kind, "{told}", {"told": told})
    return InitErrorDetails(type=reason, loc=where, input=None)
