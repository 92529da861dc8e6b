"""What stands around every answer: headers that browsers mind, and the hosts that are served."""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ptsys.api.problems import problem

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
}
_PROBES = frozenset({"/healthz", "/readyz"})


class BrowserHeaders:
    """Middleware: no answer is run, framed or guessed at by a browser, unless its route says so
    in headers of its own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add what an answer lacks of them."""

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, guarded)


class Hosts:
    """Middleware: requests to other names than `allowed` are refused, those of probes aside, which
    come by address. `allowed` is names with commas between; `*` is any, `*.x.org` those below."""

    def __init__(self, app: ASGIApp, *, allowed: str) -> None:
        self._app = app
        names = {name.strip().lower() for name in allowed.split(",") if name.strip()}
        self._any = "*" in names
        self._names = {name for name in names if not name.startswith("*.")}
        self._below = tuple(name[1:] for name in names if name.startswith("*."))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is for a name of ours."""
        if scope["type"] == "http" and not self._any and scope["path"] not in _PROBES:
            host = _host(Headers(scope=scope).get("host", ""))
            if host not in self._names and not host.endswith(self._below or ("\n",)):
                request_id = str(scope.get("ptsys.request_id", ""))
                detail = "this name is not served here; ask for one of PTSYS_ALLOWED_HOSTS"
                await problem(request_id, 421, detail)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _host(given: str) -> str:
    """The name without its port."""
    name = given.strip().lower()
    if name.startswith("["):
        return name.partition("]")[0] + "]"
    return name.partition(":")[0].rstrip(".")
