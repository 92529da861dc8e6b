"""The service of a local folder in this process: the application itself, asked without sockets."""

from __future__ import annotations

import contextlib
from types import TracebackType

from ptsys.api.local_app import LocalApp
from ptsys.client.client import Client
from ptsys.client.in_process import InProcess
from ptsys.client.retries import Retries
from ptsys.config import Settings
from ptsys.jobs.service import Service
from ptsys.store.deployment import make_root

_URL = "http://local"
_NO_KEY = "none"  # is asked for: whoever has the folder has all there is
_ANY = 2**40
_UNLIMITED = {
    "max_body_bytes": _ANY,
    "max_bodies_bytes": _ANY,
    "max_request_rows": _ANY,
    "max_row_bytes": _ANY,
    "rows_per_minute": 2**31,  # Redis counts it
    "max_user_jobs": _ANY,
    "max_user_bytes": _ANY,
    "max_user_objects": _ANY,
    "allowed_hosts": "*",
    "search_seconds": 1e-3,  # the command itself waits, and shows how far it is
}
"""What shares a service out between strangers is nothing to those who have its folder."""


class LocalService:
    """A folder's service for those who have the folder; no server and no worker need run for it."""

    def __init__(self, settings: Settings, *, timeout: float) -> None:
        """Opens the folder, and makes it if need be; `timeout` counts seconds of one answer.

        Raises Unavailable or WrongDeployment, naming the database or the folder.
        """
        make_root(settings.root)
        self._settings = settings.model_copy(update=_UNLIMITED | {"request_seconds": timeout})
        self._timeout = timeout
        self._open = contextlib.ExitStack()
        self.service = Service(settings)
        self._open.callback(self.service.close)

    def __enter__(self) -> LocalService:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def client(self, user: str) -> Client:
        """A client that asks as this user; it is closed with the service."""
        app = LocalApp(self._settings, self.service, owner=user)
        transport = InProcess(app, closing=app.context.aclose)
        client = Client(
            _URL,
            _NO_KEY,
            # the service itself says in time what did not come
            timeout=self._timeout + 10,
            retries=Retries(attempts=1),
            transport=transport,
        )
        self._open.callback(client.close)
        return client

    def close(self) -> None:
        """Close all clients, and the folder."""
        self._open.close()
