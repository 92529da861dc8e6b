"""Training jobs in the engine: what comes in, what comes out, and the handle in between."""

from __future__ import annotations

import dataclasses
import queue
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from ptsys.data.features import EncodedExamples
from ptsys.data.metrics import Scorer, summarize
from ptsys.types.training import TrainingSpec

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """A prompt and its optimizer state on the host, after `step` updates. Arrays [P, D]."""

    step: int
    prompt: NDArray[np.float32]
    first: NDArray[np.float32]
    second: NDArray[np.float32]

    @classmethod
    def start(cls, prompt: NDArray[np.float32]) -> Snapshot:
        """Before the first update."""
        return cls(0, prompt, np.zeros_like(prompt), np.zeros_like(prompt))


class RowOrder(Protocol):
    """Which rows a step sees: a pure function of the step, so that a run may be resumed."""

    def indices(self, step: int) -> NDArray[np.int64]:
        """Row numbers of the batch of `step` (counted from 0), [batch_size]."""
        ...


@dataclasses.dataclass(frozen=True)
class TrainingTask:
    """A job ready to train: its rows encoded, its prompt initialized or restored. Without an
    `order` every row comes once an epoch, as the spec's seed shuffles them."""

    id: str
    user: str
    spec: TrainingSpec
    examples: EncodedExamples
    start: Snapshot
    validation_inputs: Sequence[str] = ()
    validation_targets: Sequence[str] = ()
    order: RowOrder | None = None
    score: Scorer = summarize


@dataclasses.dataclass(frozen=True)
class Progress:
    """The last finished step: its loss before the update (nats a token), its gradient norm."""

    step: int
    loss: float
    gradient_norm: float


@dataclasses.dataclass(frozen=True)
class Checkpointed:
    """A snapshot is due to be stored; `progress` is that of its step."""

    snapshot: Snapshot
    progress: Progress


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """Scores on the validation set after `step` updates."""

    step: int
    scores: dict[str, float]


@dataclasses.dataclass(frozen=True)
class Finished:
    """All steps are done."""

    snapshot: Snapshot
    scores: dict[str, float]


@dataclasses.dataclass(frozen=True)
class Stopped:
    """The resident left early, by cancel or drain; the snapshot loses no step."""

    snapshot: Snapshot


@dataclasses.dataclass(frozen=True)
class Failed:
    """The job itself is at fault (`retry` False) or the service may be."""

    message: str
    traceback: str | None = None
    retry: bool = False


TrainingEvent = Checkpointed | Evaluated | Finished | Stopped | Failed


class Training:
    """The handle of a resident. Read `events` until Finished, Stopped or Failed; `told` is called
    whenever there is a new one."""

    def __init__(
        self,
        task: TrainingTask,
        leave: Callable[[str], None],
        told: Callable[[], object] = lambda: None,
    ) -> None:
        self.task = task
        self._told = told
        self.events: queue.SimpleQueue[TrainingEvent] = queue.SimpleQueue()
        self.done = threading.Event()
        self._leave = leave
        self._progress = Progress(task.start.step, float("nan"), float("nan"))

    @property
    def progress(self) -> Progress:
        """The last finished step."""
        return self._progress

    def stop(self) -> None:
        """Leave after the step under way; a Stopped event follows, unless the end came first."""
        self._leave(self.task.id)

    def advance(self, progress: Progress) -> None:
        """For the engine: a step has finished."""
        self._progress = progress

    def put(self, event: TrainingEvent) -> None:
        """For the engine: something happened; the last event of a resident also sets `done`."""
        if self.done.is_set():
            return
        if isinstance(event, Finished | Stopped | Failed):
            self.done.set()
        self.events.put(event)
        self._told()
