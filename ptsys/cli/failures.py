"""What a command's failure looks like: one line on stderr, and an exit code.

0    done
1    the service could not: no worker, a failed job
2    what was typed, or a file it names, is wrong: mend it and try again
130  stopped by Ctrl-C
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

import typer

from ptsys.errors import Conflict, InvalidInput, NotFound, PtsysError

if TYPE_CHECKING:
    from pydantic import ValidationError

    from ptsys.types.model import Value

T = TypeVar("T", bound="Value")

INTERRUPTED = 130
_WRONG = (InvalidInput, NotFound, Conflict)


def exit_code(error: PtsysError | typer.TyperException) -> int:
    """What the process ends with after this error."""
    if isinstance(error, typer.TyperException):
        return int(error.exit_code)
    return 2 if isinstance(error, _WRONG) else 1


def line(error: PtsysError | typer.TyperException) -> str:
    """The error as one line that names the field, if it has one."""
    if isinstance(error, typer.TyperException):
        text = error.format_message() or "something is missing; see --help"
        text = text.replace(": Value error, ", ": ").replace(": Input should ", ": it should ")
        return " ".join(f"error: {text} (try --help)".split())
    field = getattr(error, "field", None)
    text = str(error)
    if field and not text.startswith(f"{field}: "):
        text = f"{field}: {text}"
    return " ".join(f"error: {text}".split())


def make(value_type: type[T], /, **values: object) -> T:
    """A value type from what was typed. Raises InvalidInput for what it refuses."""
    from pydantic import ValidationError

    try:
        return value_type(**values)
    except ValidationError as error:
        raise invalid(error) from None


def invalid(error: ValidationError) -> InvalidInput:
    """A refused value's first reason, as ours."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"]) or None
    reason = str(first["msg"]).removeprefix("Value error, ")
    given = first.get("input")
    if isinstance(given, str | int | float):
        reason = re.sub("^(Input|String) ", "it ", reason)
        reason = f"{given!r}: {reason}"
    return InvalidInput(reason.removeprefix("Input "), field=field)


def check_name(field: str, text: str) -> None:
    """Raise InvalidInput, before anything is asked, for what no stored thing can be called."""
    from ptsys.types.names import named

    _check(field, text, named)


def check_user(field: str, text: str) -> None:
    """Raise InvalidInput for what no user can be called."""
    from ptsys.types.names import named_user

    _check(field, text, named_user)


def _check(field: str, text: str, rule: Callable[[str], str]) -> None:
    try:
        rule(text)
    except ValueError as error:
        raise InvalidInput(f"{text!r}: {error}", field=field) from None


@contextlib.contextmanager
def naming(where: object, field: str | None = None) -> Iterator[None]:
    """Put the file's name before the reason why it was refused."""
    try:
        yield
    except InvalidInput as error:
        message = str(error)
        if str(where) not in message:
            message = f"{where}: {message}"
        raise InvalidInput(message, field=error.field or field) from None
