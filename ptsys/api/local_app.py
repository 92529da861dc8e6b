"""The application for the process of one user, which asks few of its paths, most often one."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from ptsys.api.app import ROUTERS, application
from ptsys.api.context import Context
from ptsys.config import Settings
from ptsys.jobs.service import Service


class LocalApp:
    """As `create_app` with an owner, but routes are made when a path of theirs is first asked for:
    whoever lists jobs does not wait for what draws maps."""

    def __init__(self, settings: Settings, service: Service, *, owner: str) -> None:
        """The service stays the giver's to close."""
        self.context = Context(settings, service, owner=owner)
        self._apps: dict[tuple[str, ...], FastAPI] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, on one event loop with all others."""
        modules = modules_of(scope["path"])
        app = self._apps.get(modules)
        if app is None:
            app = self._apps[modules] = application(self.context, modules)
        await app(scope, receive, send)


def modules_of(path: str) -> tuple[str, ...]:
    """The modules in one of which the route of this path is; all, where the path does not say."""
    parts = path.split("/", 3)
    thing = parts[2] if path.startswith("/v1/") else ""
    return tuple(name for name, own in ROUTERS.items() if thing in own) or tuple(ROUTERS)
