"""What an examination of a deployment finds."""

from __future__ import annotations

import dataclasses
from typing import Literal

State = Literal["ok", "note", "wrong"]


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing looked at: how it is, and how to mend it if it is not well. A `note` is no fault
    yet; what is `wrong` keeps the service from working, or from being safe."""

    about: str
    state: State
    found: str
    mend: str | None = None


def ok(about: str, found: str) -> Finding:
    """All is well."""
    return Finding(about, "ok", found)


def note(about: str, found: str, mend: str | None = None) -> Finding:
    """To be known."""
    return Finding(about, "note", found, mend)


def wrong(about: str, found: str, mend: str) -> Finding:
    """To be mended."""
    return Finding(about, "wrong", found, mend)
