"""Bodies that become something stored: refused before they come where they cannot be kept."""

from __future__ import annotations

from fastapi import Request

from ptsys.api.context import Context
from ptsys.types.storage import Usage

_HEADER = 4096  # bytes that a tensor's file may have beside its numbers


async def refuse_declared(request: Request, context: Context, user: str) -> None:
    """Raise StorageUsedUp or TooLarge for a body whose declared length does not fit into what the
    user may still store. One that tells no length, or is zipped, is measured once it is there."""
    declared = request.headers.get("content-length", "")
    zipped = request.headers.get("content-encoding", "identity") != "identity"
    known = declared.isascii() and declared.isdigit() and len(declared) < 18 and not zipped
    size = max(int(declared) - _HEADER, 0) if known else 0
    more = Usage(bytes=size, objects=1)
    await context.in_thread(context.service.storage.refuse_more, user, context.quota, more)
