"""What a command works on: a local folder, or the service that PTSYS_URL names; and who asks."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from ptsys.client import Client
    from ptsys.config import Settings
    from ptsys.jobs.service import Service

TIMEOUT = 180.0
"""Seconds to wait for one answer: its shape may have to be compiled first."""


@dataclasses.dataclass(frozen=True)
class Deployment:
    """The global options. Settings are read and connections opened when first wanted.

    With a `url` the commands that work on a service ask that one, and who asks is whose key it is;
    else they ask the folder's own, in this process.
    """

    data: Path | None = None
    name: str | None = None
    url: str | None = None

    @functools.cached_property
    def settings(self) -> Settings:
        """`PTSYS_*` variables, and over them the options. Raises InvalidInput."""
        from pydantic import ValidationError

        from ptsys.cli.failures import check_user, invalid
        from ptsys.config import Settings

        options: dict[str, Any] = {"data_dir": self.data, "user": self.name}
        try:
            found = Settings(**{key: value for key, value in options.items() if value is not None})
        except ValidationError as error:
            raise invalid(error) from None
        check_user("user", found.user)
        return found

    @property
    def user(self) -> str:
        """Who asks the local folder."""
        return self.settings.user

    @contextlib.contextmanager
    def client(self, *, timeout: float = TIMEOUT) -> Iterator[Client]:
        """The service to ask, for as long as it is wanted; `timeout` counts seconds of an answer.

        Raises InvalidInput without a key for the service at `url`.
        """
        if self.url is None:
            from ptsys.cli.local_service import LocalService

            with LocalService(self.settings, timeout=timeout) as service:
                yield service.client(self.user)
            return
        from ptsys.client import Client

        with Client(self.url, timeout=timeout) as client:
            yield client

    @contextlib.contextmanager
    def service(self) -> Iterator[Service]:
        """The records of the local folder, for as long as they are wanted: for commands that keep
        a machine."""
        from ptsys.jobs.service import Service
        from ptsys.store.deployment import make_root

        make_root(self.settings.root)
        service = Service(self.settings)
        try:
            yield service
        finally:
            service.close()

    def model(self, client: Client) -> str:
        """The model where none is named: what PTSYS_MODEL says, else the service's own default."""
        if self.url is None or "model" in self.settings.model_fields_set:
            return self.settings.model
        found = next((model.name for model in client.models.list() if model.default), None)
        return found or self.settings.model

    def line(self, command: str) -> str:
        """What to type for a command on the same, wherever it was named."""
        if self.url is not None:
            url = "" if self.url == os.environ.get("PTSYS_URL") else f" --url {self.url}"
            return f"`ptsys{url} {command}`"
        user = _option("--user", self.name, "PTSYS_USER")
        return f"`ptsys{self._data_option}{user} {command}`"

    def start_line(self, model: str) -> str:
        """What to do where no worker serves this model."""
        if self.url is not None:
            return f"ask who keeps {self.url} for one"
        return f"start one: {self.start_command(model)}"

    def start_command(self, model: str) -> str:
        """What to type to get a worker of this model in the local folder."""
        from ptsys.store.models import BUILTIN

        named = "" if model == BUILTIN else f" --model {model}"
        return f"`ptsys up{named}{self._data_option}`"

    @property
    def _data_option(self) -> str:
        return _option("--data", self.data, "PTSYS_DATA_DIR")

    def serving(self, model: str) -> bool:
        """Whether a worker of this model runs for the local folder, ready or still on its way."""
        from ptsys.errors import Unavailable
        from ptsys.jobs.presence import workers
        from ptsys.jobs.redis_server import locate

        try:
            return any(worker.model == model for worker in workers(locate(self.settings)))
        except Unavailable:
            return False


def _option(name: str, value: object, variable: str) -> str:
    """A global option to be typed again; nothing where the environment says the same."""
    if value is None or str(value) == os.environ.get(variable):
        return ""
    return f" {name} {shlex.quote(str(value))}"


def of(context: typer.Context, data: Path | None = None) -> Deployment:
    """The deployment that the global options name; a command's own `--data` counts more."""
    found = context.find_object(Deployment) or Deployment()
    return found if data is None else dataclasses.replace(found, data=data)
