"""Naming stored things: an id, a name, "owner/name", or the record itself."""

from __future__ import annotations

from typing import TypeVar
from urllib.parse import quote

from ptsys.client.connection import Connection
from ptsys.errors import InvalidInput, NotFound
from ptsys.types.records import Dataset, Prompt

Reference = str | Dataset | Prompt
"""An id, a name of your own, "owner/name", or a record."""

Stored = TypeVar("Stored", Dataset, Prompt)


def reference(thing: Reference) -> str:
    """What names it in a request."""
    return thing if isinstance(thing, str) else thing.id


def path(collection: str, thing: Reference, *rest: str) -> str:
    """The address of one thing. Raises InvalidInput for a name that no thing can have, or one with
    its owner's before it: see `address`."""
    name = reference(thing)
    if not name or name.strip(".") == "" or "/" in name:
        raise InvalidInput(
            f"{name!r} is neither an id nor a name; another user's things go by their id here",
            field=collection.rstrip("s"),
        )
    return "/".join(["/v1", collection, quote(name, safe=""), *rest])


def address(connection: Connection, kind: type[Stored], thing: str | Stored, *rest: str) -> str:
    """The address of a dataset or a prompt; the service is asked for the id of what is named
    "owner/name". Raises InvalidInput for a name that no thing can have, NotFound."""
    collection = "datasets" if kind is Dataset else "prompts"
    if isinstance(thing, str) and thing.count("/") == 1:
        owner, name = thing.split("/")
        found = next(connection.pages(kind, f"/v1/{collection}", owner=owner, name=name), None)
        if found is None:
            raise NotFound(f"there is no {collection[:-1]} {thing!r} that you may see")
        return path(collection, found, *rest)
    return path(collection, thing, *rest)
