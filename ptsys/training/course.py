"""A training on its way, who listens to it, and how it ends."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ptsys.training.trained import Trained

if TYPE_CHECKING:
    from ptsys.training.loop import Place

Result = TypeVar("Result")
Steps = Generator[None, None, Result]
"""A course's way: it yields whenever it has to wait, and returns what came of it."""


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A state to resume from after `step` updates: host arrays by name, and JSON beside them.

    `metrics` are those of that step. A `stale` one has a newer one behind it already.
    """

    step: int
    arrays: dict[str, Any]
    notes: dict[str, Any] = dataclasses.field(default_factory=dict)
    metrics: dict[str, float] = dataclasses.field(default_factory=dict)
    stale: bool = False


class Listener(Protocol):
    """Hears how a course goes; called in the thread that runs the loop. What it raises ends the
    course."""

    def progress(self, step: int, metrics: Mapping[str, float]) -> None:
        """So many updates are made; `steps` in the metrics says how many there will be, where only
        the course knows."""
        ...

    def evaluation(self, step: int, scores: Mapping[str, float], **about: object) -> None:
        """It was scored after `step` updates."""
        ...

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        """This is a state to resume from."""
        ...

    def note(self, message: str, **about: object) -> None:
        """Something happened; ids alone name what is others'."""
        ...


class Course(Protocol):
    """A training that is prepared, or under way."""

    def run(self, place: Place) -> Steps[Ending]:
        """The whole way. Raises Interruption once it is told to stop and what is on the device has
        left it, and what makes the training fail."""
        ...

    def tell(self) -> None:
        """Tell the listener the progress."""
        ...

    def checkpoint(self) -> Checkpoint | None:
        """Where it stands, after an interruption; None if there is nothing to resume from."""
        ...


class Interruption(Exception):
    """The loop was told to stop."""


@dataclasses.dataclass(frozen=True)
class Completed:
    """All is done: the prompts that it made, its own first, and the numbers to be shown."""

    prompts: tuple[Trained, ...]
    step: int
    metrics: dict[str, float]


@dataclasses.dataclass(frozen=True)
class Interrupted:
    """It was stopped; `checkpoint` is where it stands, if there is anything to resume from."""

    checkpoint: Checkpoint | None


@dataclasses.dataclass(frozen=True)
class Failed:
    """The training itself is at fault, or where `retry` says so, the service may be. `error` is
    what was raised, if something was."""

    message: str
    traceback: str | None = None
    retry: bool = False
    error: Exception | None = None


Ending = Completed | Interrupted | Failed


def finite(values: Mapping[str, float]) -> dict[str, float]:
    """Without what JSON cannot say."""
    return {name: float(value) for name, value in values.items() if math.isfinite(value)}
