"""Training jobs in the engine: what comes in, what comes out, and the handle in between."""

from __future__ import annotations

import dataclasses
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ptsys.data.features import EncodedExamples
from ptsys.data.metrics import Scorer, summarize
from ptsys.kinds.registry import prompt_kind
from ptsys.kinds.trees import Layout, Tree, shapes_of
from ptsys.prompts.tokens import NAME, as_tree
from ptsys.types.example import Example
from ptsys.types.requests import Aggregate
from ptsys.types.training import TOKENS, JobSpec


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """A prompt and its optimizer state on the host, after `step` updates: arrays by name, and how
    many updates each array, or each member's, has had itself."""

    step: int
    values: Tree
    first: Tree
    second: Tree
    updates: dict[str, NDArray[np.int32]]

    @classmethod
    def start(cls, prompt: Tree | NDArray[np.float32], kind: str = TOKENS) -> Snapshot:
        """Before the first update. An array alone is one of soft tokens [P, D]."""
        tree = as_tree(prompt)
        leaves = prompt_kind(kind).layout(shapes_of(tree)).leaves
        updates = {
            leaf.name: np.zeros(tree[leaf.name].shape[: bool(leaf.members)], np.int32)
            for leaf in leaves
        }
        first = {name: np.zeros_like(x) for name, x in tree.items()}
        second = {name: np.zeros_like(x) for name, x in tree.items()}
        return cls(0, dict(tree), first, second, updates)

    @property
    def prompt(self) -> NDArray[np.float32]:
        """The array of a prompt that has but one."""
        [only] = self.values.values()
        return only

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps, arrays in dictionaries. Those of a prompt of one array lie
        side by side, of others under its name, of all members."""
        if list(self.values) == [NAME]:
            return {NAME: self.prompt, "first": self.first[NAME], "second": self.second[NAME]}
        return {
            name: {
                "value": _with_members(value, self.updates[name]),
                "first": _with_members(self.first[name], self.updates[name]),
                "second": _with_members(self.second[name], self.updates[name]),
                "updates": np.atleast_1d(self.updates[name]),
            }
            for name, value in self.values.items()
        }

    @classmethod
    def of(cls, step: int, state: Mapping[str, Any], like: Snapshot) -> Snapshot:
        """What `state` gave after `step` updates, of a prompt like that of `like`."""
        if list(like.values) == [NAME]:
            value, first, second = (
                {NAME: np.array(state[name])} for name in (NAME, "first", "second")
            )
            return cls(step, value, first, second, {NAME: np.array(step, np.int32)})

        def arrays(part: str) -> Tree:
            return {
                name: np.array(state[name][part]).reshape(value.shape)
                for name, value in like.values.items()
            }

        updates = {
            name: np.array(state[name]["updates"], np.int32).reshape(value.shape)
            for name, value in like.updates.items()
        }
        return cls(step, arrays("value"), arrays("first"), arrays("second"), updates)


def _with_members(array: NDArray[Any], updates: NDArray[np.int32]) -> NDArray[Any]:
    """With an axis of members, of one where there is but one for all."""
    return array if updates.ndim else array[None]


class RowOrder(Protocol):
    """Which rows a step sees: a pure function of the step, so that a run may be resumed."""

    def indices(self, step: int) -> NDArray[np.int64]:
        """Row numbers of the batch of `step` (counted from 0), [batch_size]."""
        ...


@dataclasses.dataclass(frozen=True)
class Episode:
    """What a step's readings are made in, arrays [N, ...] by name, and the number of the reading
    that each row of the step is asked with, [batch_size]; of N and more for none."""

    context: Mapping[str, NDArray[Any]]
    readings: NDArray[np.int32]


@runtime_checkable
class Episodes(RowOrder, Protocol):
    """The order of rows whose prompts are written anew in every step."""

    def episode(self, step: int) -> Episode:
        """That of a step, counted from 0; as much a function of the step as its rows."""
        ...


@dataclasses.dataclass(frozen=True)
class Shown:
    """What a prompt is written from before it is scored: examples of a task, its description, or
    both, put together in this way."""

    examples: Sequence[Example] = ()
    description: str | None = None
    aggregate: Aggregate = "each"


@dataclasses.dataclass(frozen=True)
class Validation:
    """Rows that a prompt, or the `member` of it of that number, is scored on as it learns. What
    is learned writes prompts if examples are `shown` to it."""

    inputs: Sequence[str]
    targets: Sequence[str]
    member: int = 0
    score: Scorer = summarize
    shown: Shown | None = None


def validations(
    inputs: Sequence[str], targets: Sequence[str], scored: bool = True, score: Scorer = summarize
) -> tuple[Validation, ...]:
    """Of a prompt without members; none without rows."""
    return (Validation(inputs, targets, score=score),) if scored and inputs else ()


@dataclasses.dataclass(frozen=True)
class TrainingTask:
    """A job ready to train: its rows encoded, its prompt initialized or restored. Without an
    `order` every row comes once an epoch, as the spec's seed shuffles them. `kind` is the prompt's;
    where it has members, `members` says whose each row is. `layout` is its own where the kind's
    does not say it all: what writes prompts is compiled for the episodes of its `order`."""

    id: str
    user: str
    spec: JobSpec
    examples: EncodedExamples
    start: Snapshot
    validations: Sequence[Validation] = ()
    order: RowOrder | None = None
    kind: str = TOKENS
    members: NDArray[np.int32] | None = None
    layout: Layout | None = None


@dataclasses.dataclass(frozen=True)
class Progress:
    """The last finished step: its loss before the update (nats a token), its gradient norm, and
    each member's loss when it was last drawn."""

    step: int
    loss: float
    gradient_norm: float
    member_losses: NDArray[np.float32] | None = None


@dataclasses.dataclass(frozen=True)
class Checkpointed:
    """A snapshot is due to be stored; `progress` is that of its step."""

    snapshot: Snapshot
    progress: Progress


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """Scores of a snapshot on the validation rows: their means over all that there are,
    and each member's own."""

    snapshot: Snapshot
    scores: dict[str, float]
    member_scores: dict[int, dict[str, float]] = dataclasses.field(default_factory=dict)

    @property
    def step(self) -> int:
        """Updates that the snapshot has had."""
        return self.snapshot.step


@dataclasses.dataclass(frozen=True)
class Finished:
    """All steps are done. Scores as in `Evaluated`."""

    snapshot: Snapshot
    scores: dict[str, float]
    member_scores: dict[int, dict[str, float]] = dataclasses.field(default_factory=dict)


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
