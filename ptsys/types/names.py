"""What prompts, datasets, models and users may be called, and how a wrong name is told."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"


NAME_HELP = "Letters, digits, '.', '_' and '-'."
"""The same in words."""


def named(text: str) -> str:
    """The name itself. Raises ValueError, in words, unless it can stand in a path, a URL and a
    command line."""
    if re.fullmatch(NAME, text):
        return text
    better = re.sub(r"[^A-Za-z0-9._-]+", "-", text[:100]).strip("-._")
    instead = f", for example {better!r}" if better else ""
    raise ValueError(
        "a name has 1 to 100 letters, digits, '.', '_' and '-', beginning with a letter or digit"
        f"{instead}"
    )


Name = Annotated[
    str,
    AfterValidator(named),
    Field(description=NAME_HELP, json_schema_extra={"pattern": NAME}),
]

USER = r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,99}$"


def named_user(text: str) -> str:
    """The user's name itself. Raises ValueError unless it can stand in a reference `user/name`."""
    if re.fullmatch(USER, text):
        return text
    raise ValueError(
        "a user has 1 to 100 letters, digits, '.', '_', '@' and '-', beginning with a letter or "
        "digit"
    )


User = Annotated[str, AfterValidator(named_user), Field(json_schema_extra={"pattern": USER})]
