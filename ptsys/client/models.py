"""`client.models`: the frozen models of the service."""

from __future__ import annotations

from collections.abc import Iterator

from ptsys.client.connection import Connection, decoded, value
from ptsys.client.references import path
from ptsys.types.compiling import Compiling
from ptsys.types.model import Value


class ServedModel(Value):
    """A frozen model as a user sees it; lengths count tokens. `fingerprint` tells prompts of one
    set of weights from those of another; `ready` says that a worker serves it now, `workers` how
    many do or are about to, and `compiles` what they compile. Without its `vocabulary` it keeps
    prompts, but neither trains nor answers."""

    name: str
    fingerprint: str
    d_model: int
    max_input_length: int | None = None
    max_target_length: int | None = None
    builtin: bool = False
    default: bool = False
    ready: bool = False
    vocabulary: bool = True
    workers: int = 0
    compiles: tuple[Compiling, ...] = ()
    parameters: int | None = None
    vocab_size: int | None = None
    source: str | None = None


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

    def delete(self, name: str, *, keep_prompts: bool = False) -> None:
        """Delete an imported model, for good; with a key of role `admin`.

        Raises NotFound, Forbidden, and Conflict while a worker serves it, a job of it has not
        ended, or prompts belong to it; with `keep_prompts` these stay, and serve again once the
        same weights are back under this name.
        """
        asked = {"keep_prompts": "true"} if keep_prompts else {}
        self._connection.delete(path("models", name), query=asked)
