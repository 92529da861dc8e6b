"""The deployment that a command talks to: where its data lies, and who asks."""

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
    from ptsys.config import Settings
    from ptsys.jobs.asking import BlockingAsker
    from ptsys.jobs.service import Service


@dataclasses.dataclass(frozen=True)
class Deployment:
    """The global options. Settings are read and connections opened when first wanted."""

    data: Path | None = None
    name: str | None = None

    @functools.cached_property
    def settings(self) -> Settings:
        """`PTSYS_*` variables, and over them the options. Raises InvalidInput."""
        from pydantic import ValidationError

        from ptsys.cli.failures import invalid
        from ptsys.config import Settings
        from ptsys.errors import InvalidInput
        from ptsys.types.names import named_user

        options: dict[str, Any] = {"data_dir": self.data, "user": self.name}
        try:
            found = Settings(**{key: value for key, value in options.items() if value is not None})
        except ValidationError as error:
            raise invalid(error) from None
        try:
            named_user(found.user)
        except ValueError as error:
            raise InvalidInput(f"{found.user!r}: {error}", field="user") from None
        return found

    @property
    def user(self) -> str:
        """Who asks."""
        return self.settings.user

    @contextlib.contextmanager
    def service(self) -> Iterator[Service]:
        """The service on this data directory, for as long as it is wanted."""
        from ptsys.jobs.service import Service
        from ptsys.store.deployment import make_root

        make_root(self.settings.root)
        service = Service(self.settings)
        try:
            yield service
        finally:
            service.close()

    @contextlib.contextmanager
    def asker(self, model: str) -> Iterator[BlockingAsker]:
        """The way to workers of a model. Raises Unavailable at once if there is none."""
        from ptsys.errors import Unavailable
        from ptsys.jobs.asking import BlockingAsker
        from ptsys.jobs.limits import read_limits
        from ptsys.jobs.redis_server import locate

        if not self.serving(model):
            read_limits(self.settings.root, model)  # or what is wrong with it
            raise Unavailable(
                f"no worker serves model {model!r}; start one: {self.start_command(model)}"
            )
        address = locate(self.settings)
        asker = BlockingAsker(address)
        try:
            yield asker
        finally:
            asker.close()

    def line(self, command: str) -> str:
        """What to type for a command of this deployment, wherever its data was named."""
        user = _option("--user", self.name, "PTSYS_USER")
        return f"`ptsys{self._data_option}{user} {command}`"

    def start_command(self, model: str) -> str:
        """What to type to get a worker of this model."""
        from ptsys.store.models import BUILTIN

        named = "" if model == BUILTIN else f" --model {model}"
        return f"`ptsys up{named}{self._data_option}`"

    @property
    def _data_option(self) -> str:
        return _option("--data", self.data, "PTSYS_DATA_DIR")

    def serving(self, model: str) -> bool:
        """Whether a worker of this model runs, ready or still on its way."""
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
