"""`client.models`: the frozen models of the service."""

from __future__ import annotations

from collections.abc import Iterator

from ptsys.client.connection import Connection, decoded, value
from ptsys.client.references import path
from ptsys.types.model import Value


class ServedModel(Value):
    """A frozen model as a user sees it; lengths count tokens. `fingerprint` tells prompts of one
    set of weights from those of another; `ready` says that a worker serves it now."""

    name: str
    fingerprint: str
    d_model: int
    max_input_length: int | None = None
    max_target_length: int | None = None
    builtin: bool = False
    default: bool = False
    ready: bool = False


class Models:
    """The frozen models of the service."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list(self) -> Iterator[ServedModel]:
        """All models."""
        return self._connection.pages(ServedModel, "/v1/models")

    def get(self, name: str) -> ServedModel:
        """The model of that name. Raises NotFound."""
        return value(ServedModel, decoded(self._connection.ask("GET", path("models", name))))
