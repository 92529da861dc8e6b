"""Which methods a path knows: told whole in `Allow`, where routes are looked up one by one."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

from fastapi.routing import APIRoute
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from ptsys.api.problems import problem


class Methods:
    """Middleware: a method that a path does not know is a 405 that names all it knows.

    A path that is spelled out is not taken for one with a parameter: `/v1/prompts/search` is no
    prompt called `search`, whatever the method.
    """

    def __init__(self, app: ASGIApp, *, routes: Iterable[BaseRoute]) -> None:
        self._app = app
        self._fixed: defaultdict[str, set[str]] = defaultdict(set)
        self._patterns: list[tuple[re.Pattern[str], set[str]]] = []
        for route in routes:
            if not isinstance(route, APIRoute):
                continue
            if "{" in route.path:
                self._patterns.append((route.path_regex, set(route.methods or ())))
            else:
                self._fixed[route.path] |= set(route.methods or ())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse what no route of the path takes."""
        if scope["type"] == "http":
            known = self.known(scope["path"])
            if known and scope["method"] not in known:
                allowed = ", ".join(sorted(known))
                request_id = str(scope.get("ptsys.request_id", ""))
                response = problem(request_id, 405, f"this path takes {allowed}")
                response.headers["Allow"] = allowed
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def known(self, path: str) -> set[str]:
        """The methods of a path; none of one that there is not."""
        if path in self._fixed:
            return self._fixed[path]
        found: set[str] = set()
        for pattern, methods in self._patterns:
            if pattern.match(path):
                found |= methods
        return found
