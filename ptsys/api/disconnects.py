"""Work for a client ends with its connection: nobody computes for those who left."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import Request

from ptsys.api.problems import Refused

T = TypeVar("T")

CLIENT_LEFT = 499
"""The status that is counted, and sent to nobody."""


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What `work` gives, which is cancelled if the client leaves before. The request's body must be
    read. Raises Refused when the client left, and what the work raises."""
    working = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return await working
        raise Refused(CLIENT_LEFT, "the client left before its answer was there")
    finally:
        for task in (working, watching):
            task.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
