"""Who asks: an API key in the Authorization header."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from ptsys.api.context import Shared
from ptsys.errors import Forbidden, Unauthenticated
from ptsys.types.records import ApiKey

_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="API key",
    bearerFormat="ptsys_…",
    description="`Authorization: Bearer ptsys_…`, from `ptsys keys create`.",
)


async def _caller(
    context: Shared, given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> ApiKey:
    if given is None:
        raise Unauthenticated("send `Authorization: Bearer ptsys_…`; `ptsys keys create` makes one")
    known = context.keys.get(given.credentials)
    if known is None:
        known = await context.in_thread(context.service.keys.authenticate, given.credentials)
        context.keys.put(given.credentials, known)
    return known


Caller = Annotated[ApiKey, Depends(_caller)]


async def _admin(caller: Caller) -> ApiKey:
    if caller.role != "admin":
        raise Forbidden("this is for keys of role 'admin'")
    return caller


Admin = Annotated[ApiKey, Depends(_admin)]
