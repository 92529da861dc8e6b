"""What every text that comes from outside has in common: it can be kept, sent on and shown."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

MOST_LABELS = 256
"""Answers to choose between, or to begin a prompt with."""


def fault_of(text: str) -> str | None:
    """What no database keeps and no answer can tell, if the text holds it: NUL characters, and
    halves of a surrogate pair, which JSON can name but UTF-8 cannot."""
    if "\0" in text:
        return "holds a NUL character; remove it"
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        return "holds half of a surrogate pair; send whole characters"
    return None


def plain(text: str) -> str:
    """The text itself. Raises ValueError where `fault_of` finds one."""
    fault = fault_of(text)
    if fault is not None:
        raise ValueError(f"the text {fault}")
    return text


def shown(text: str, most: int) -> str:
    """The text as UTF-8 can tell it, cut to so many letters: for what users sent and are told
    again."""
    cut = text if len(text) <= most else f"{text[: most - 1]}…"
    return cut.encode("utf-8", "backslashreplace").decode()


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("the label is empty; give a text to score")
    return text


Text = Annotated[str, AfterValidator(plain), Field(json_schema_extra={"pattern": r"^[^\u0000]*$"})]
"""Any text from outside: no spec, body or query holds a bare `str`."""

Label = Annotated[
    Text,
    AfterValidator(_not_blank),
    Field(json_schema_extra={"pattern": r"^[^\u0000]*[^\s\u0000]"}),
]
"""An answer to be scored."""

LINE = r"^[^\u0000-\u001f\u007f-\u009f\u2028\u2029]*$"


def one_line(text: str) -> str:
    """The text itself. Raises ValueError for line breaks and other control characters."""
    if re.fullmatch(LINE.strip("^$"), text) is None:
        raise ValueError("the text has several lines, or control characters; write one line")
    return text


Line = Annotated[Text, AfterValidator(one_line), Field(json_schema_extra={"pattern": LINE})]

Reference = Annotated[Text, Field(max_length=300)]
"""A stored thing: its id, a name of the caller's own, or owner/name."""
