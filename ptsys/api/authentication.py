"""Who asks: an API key in the Authorization header, looked at before anything else."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPBearer
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from ptsys.api.context import Context
from ptsys.api.problems import told
from ptsys.errors import Forbidden, PtsysError, Unauthenticated
from ptsys.store.keys import is_secret
from ptsys.types.records import ApiKey

METRICS = "/metrics"
_KEYED = "/v1/"
_CALLER = "ptsys.caller"
_SCHEME = "bearer "
_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="API key",
    bearerFormat="ptsys_…",
    description="`Authorization: Bearer ptsys_…`, from `ptsys keys create`.",
)


class Keys:
    """Middleware: of a request under `/v1/`, and of one for metrics that only admins may read,
    nothing but the head is read before its key is known.

    A route's dependencies would come too late: FastAPI reads and parses the body before them.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse who has no key; tell the others' requests whose they are."""
        if scope["type"] == "http" and _is_keyed(scope):
            try:
                context: Context = scope["app"].state.context
                scope[_CALLER] = context.owner or await context.caller(
                    _secret(Headers(scope=scope))
                )
            except PtsysError as error:
                await told(str(scope.get("ptsys.request_id", "")), error)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _is_keyed(scope: Scope) -> bool:
    path: str = scope["path"]
    if path == METRICS:
        return bool(scope["app"].state.context.settings.metrics == "admins")
    return path.startswith(_KEYED)


def caller_of(scope: Scope) -> ApiKey | None:
    """Whose key came with the request; None where none is asked for."""
    caller: ApiKey | None = scope.get(_CALLER)
    return caller


def user_of(scope: Scope) -> str | None:
    """Whose request this is; None where no key is asked for."""
    caller = caller_of(scope)
    return None if caller is None else caller.user


def _secret(headers: Headers) -> str:
    given = headers.get("authorization", "")
    if not given[: len(_SCHEME)].lower() == _SCHEME:
        raise Unauthenticated("send `Authorization: Bearer ptsys_…`; `ptsys keys create` makes one")
    secret = given[len(_SCHEME) :].strip()
    if not is_secret(secret):
        raise Unauthenticated("this is no API key of ptsys; `ptsys keys create` makes one")
    return secret


async def _caller(request: Request, _given: Annotated[object, Depends(_bearer)]) -> ApiKey:
    caller: ApiKey = request.scope[_CALLER]
    return caller


Caller = Annotated[ApiKey, Depends(_caller)]


async def _admin(caller: Caller) -> ApiKey:
    if caller.role != "admin":
        raise Forbidden("this is for keys of role 'admin'")
    return caller


Admin = Annotated[ApiKey, Depends(_admin)]
