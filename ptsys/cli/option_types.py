"""What `--help` says of an option's type: TEXT, INTEGER, PATH or its choices, in words for users.

Typer shows Python's own: `<list[str]>`, `<int range>`, `<bool>` for a flag that takes no value.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any, get_args

import typer
from typer.core import TyperArgument, TyperOption

_WORDS = {"int": "INTEGER", "float": "NUMBER", "str": "TEXT"}


def tell_types(command: Any, help_names: Sequence[str]) -> None:
    """Let the help of a command, and of all below it, name types so. `help_names` are the options
    that ask for it."""
    for param in _params(command, help_names):
        shown = functools.partial(_shown, param)
        param.display_type = shown  # type: ignore[method-assign]
        if isinstance(param, TyperArgument):
            usage = functools.partial(_usage, param)
            param.get_usage_pieces = usage  # type: ignore[method-assign]


def _params(command: Any, help_names: Sequence[str]) -> Iterator[TyperOption | TyperArgument]:
    yield command.get_help_option(typer.Context(command, help_option_names=list(help_names)))
    yield from command.params
    for below in getattr(command, "commands", {}).values():
        yield from _params(below, help_names)


def _shown(param: TyperOption | TyperArgument, ctx: Any) -> str:
    told = param.type_descriptor
    if getattr(param, "is_flag", False):
        return ""
    if isinstance(param, TyperArgument) and param.metavar is not None:
        return ""  # its name says it: DATA.jsonl
    if told.is_choice:
        return "|".join(str(getattr(one, "value", one)) for one in told.choices or ())
    if told.is_path:
        return "PATH"
    element = get_args(told.annotation)[0] if told.is_list else told.annotation
    name = getattr(element, "__name__", str(element))
    return _WORDS.get(name, name.upper())


def _usage(param: TyperArgument, ctx: Any) -> list[str]:
    name = param.metavar or param.name.upper()
    return [name if param.required else f"[{name}]"]
