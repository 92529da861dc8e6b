"""gin's errors in one line that names the binding and its fix, without the trail it leaves."""

from __future__ import annotations

import re
import tokenize
from collections.abc import Sequence

from ptsys.errors import InvalidInput

_FORM = "write --gin.NAME=VALUE, for example --gin.PretrainRun.steps=10"
_BARE = re.compile(r"[^\s'\"()\[\]{}%@]+")


def gin_error(error: Exception, bindings: Sequence[str]) -> InvalidInput:
    """What went wrong in gin files or in bindings such as `STEPS = 10`."""
    if isinstance(error, InvalidInput):
        return InvalidInput(_reason(error), field=error.field)
    if isinstance(error, SyntaxError):
        return _unreadable(error, bindings)
    if isinstance(error, tokenize.TokenError):
        told = f"a value is cut off ({error.args[0]}); check its quotes and brackets"
        return InvalidInput(told, field="gin")
    return InvalidInput(_reason(error), field="gin")


def no_binding(argument: str) -> InvalidInput:
    """An argument that is none of `ptsys run`."""
    return InvalidInput(f"{argument!r} is no binding; {_FORM}", field="gin")


def _unreadable(error: SyntaxError, bindings: Sequence[str]) -> InvalidInput:
    """A line that is no binding of a Python literal."""
    line = error.lineno or 0
    if error.filename or not 0 < line <= len(bindings):
        where = f"{error.filename or 'the bindings'}, line {line}: "
        name, value = _halves(error.text or "")
    else:
        where = ""
        name, value = _halves(bindings[line - 1])
    word = re.search(r"Failed to parse token '(.*?)'", str(error))
    field = f"gin.{name}" if name else "gin"
    if word is not None or _BARE.fullmatch(value):
        text = word[1] if word is not None else value
        fix = f"--gin.{name}=\"'{text}'\"" if name and not where and value == text else f"'{text}'"
        return InvalidInput(
            f"{where}{text} is no Python literal; text stands in quotes: {fix}", field=field
        )
    told = f"{value} is" if value else "that is"
    return InvalidInput(
        f"{where}{told} no single Python literal; check its quotes, commas and brackets",
        field=field,
    )


def _halves(binding: str) -> tuple[str, str]:
    name, _, value = binding.partition("=")
    return name.strip(), value.strip()


def _reason(error: Exception) -> str:
    text = re.split(r"\n\s*In (?:call to configurable|file|bindings)", str(error))[0]
    return " ".join(text.split())
