"""Naming stored things: an id or a name, or the record itself."""

from __future__ import annotations

from urllib.parse import quote

from ptsys.errors import InvalidInput
from ptsys.types.records import Dataset, Prompt

Reference = str | Dataset | Prompt
"""An id, a name of your own, or a record; where a request's body carries it, also "owner/name"."""


def reference(thing: Reference) -> str:
    """What names it in a request."""
    return thing if isinstance(thing, str) else thing.id


def path(collection: str, thing: Reference, *rest: str) -> str:
    """The address of one thing. Raises InvalidInput for a name that no thing can have."""
    name = reference(thing)
    if not name or name.strip(".") == "" or "/" in name:
        raise InvalidInput(
            f"{name!r} is neither an id nor a name; another user's things go by their id here",
            field=collection.rstrip("s"),
        )
    return "/".join(["/v1", collection, quote(name, safe=""), *rest])
