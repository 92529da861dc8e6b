"""What a model kind is: the only place that knows what a row is and what a model can be asked.

It has two halves, which different processes' sides need: `ModelKind` is traced into compiled
programs, `RowCoder` works on the host.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from jaxtyping import Array, Bool, Float, Int

from ptsys.kinds.batch import Readings
from ptsys.kinds.trees import Layout, RowLayout

Features = Mapping[str, Any]
"""A batch's rows: arrays [B, ...] by name."""


class RowLosses(NamedTuple):
    """Summed loss (nats), count of what it is summed over, and prediction of every row."""

    loss: Float[Array, " B"]
    tokens: Float[Array, " B"]
    predicted: Int[Array, "B T"]


class ChunkSize(NamedTuple):
    """The most rows that go through the model at a time, and the most positions they may have
    together; None where they are not packed."""

    rows: int
    positions: int | None


class ModelKind(Protocol):
    """A kind of frozen model, as compiled programs know it."""

    @property
    def flops(self) -> float:
        """Of one position of a row, forward and backward."""
        ...

    @property
    def parameters(self) -> int:
        """Numbers of the model."""
        ...

    @property
    def no_prompt(self) -> Layout:
        """The padded shapes of a prompt that is not there."""
        ...

    def losses(
        self,
        model: Any,
        own: Readings,
        features: Features,
        z_loss: Float[Array, " B"] | None = None,
        capacity: int | None = None,
    ) -> RowLosses:
        """The losses of rows, each with its own reading. `capacity` is the second number of the
        chunk's size."""
        ...

    def tokens(self, features: Features) -> Float[Array, " B"]:
        """What each row's loss is summed over; a row without any is padding."""
        ...

    def positions(self, length: Mapping[str, Any], features: Features) -> Int[Array, " B"]:
        """Real positions of every row, whose readings have these lengths."""
        ...

    def chunk(self, readings: Any, features: Any, execution: Any, *, packed: bool) -> ChunkSize:
        """How many rows of arrays of these shapes are computed at a time."""
        ...

    def answer(
        self,
        operation: str,
        model: Any,
        own: Readings,
        features: Features,
        real: Bool[Array, " B"],
        options: Mapping[str, Any],
    ) -> Any:
        """The result of an operation on rows, arrays [B, ...]; of those that are not `real`
        nothing matters."""
        ...

    def with_generator(self, model: Any, arrays: Mapping[str, Any]) -> Any:
        """The model that reads examples with a generator of these arrays, of the shapes that its
        configuration's `encoder_shapes` says, in place of its own encoder."""
        ...


@dataclasses.dataclass(frozen=True)
class Question:
    """Rows of one request as an operation has them: features by name, the padded shapes that they
    fit, and what else the operation is compiled for. A row takes as much room as so many `copies`;
    `whole` makes the request's answer of its rows' answers."""

    operation: str
    features: Mapping[str, Sequence[Any]]
    layout: RowLayout
    options: tuple[tuple[str, Any], ...] = ()
    copies: int = 1
    whole: Callable[[list[Any]], list[Any]] = list

    @property
    def sizes(self) -> list[int]:
        """Of each row, the size by which rows are told apart."""
        feature = self.layout[0]
        rows = self.features[feature.name]
        return [len(row) for row in rows] if feature.shape else [1] * len(rows)


class EncodedRows(Protocol):
    """A job's rows, ready for the device."""

    @property
    def features(self) -> Mapping[str, Sequence[Any]]:
        """By name, a row each."""
        ...

    @property
    def longest(self) -> Mapping[str, int]:
        """The largest size of each feature."""
        ...

    def __len__(self) -> int: ...


class RowCoder(Protocol):
    """A kind of frozen model's rows on the host. All methods raise InvalidInput for rows that the
    model cannot take, naming what is wrong."""

    def layout(self, longest: Mapping[str, int], *, fine: bool = False) -> RowLayout:
        """The padded shapes for rows to learn from, of at most these sizes; `fine` for a closer
        fit."""
        ...

    def sizes(self, *, fine: bool = False) -> Sequence[int]:
        """The padded sizes that there are of the feature by which rows are told apart."""
        ...

    def packs(self, layout: RowLayout) -> bool:
        """Whether rows of very different sizes are worth packing."""
        ...

    def mean_positions(self, examples: Any) -> float:
        """Positions of a job's rows, besides the prompt's."""
        ...

    def examples(self, spec: Any, examples: Sequence[Any]) -> Any:
        """A job's rows, `EncodedRows`."""
        ...

    def taught(self, inputs: Sequence[Any], targets: Sequence[Any]) -> Question:
        """Rows to differentiate."""
        ...

    def encoded(
        self,
        inputs: Sequence[Any],
        targets: Sequence[Any],
        longest: Mapping[str, int] | None = None,
    ) -> Question:
        """The same of rows that are encoded already, for company as long as `longest`."""
        ...

    def answered(self, examples: Any, longest: Mapping[str, int]) -> Question:
        """A job's rows of which it is wanted how likely a prompt answers with what, made for
        company as long as `longest`."""
        ...

    def question(self, inputs: Sequence[Any], decoding: Any) -> Question:
        """Rows to answer."""
        ...

    def scored(self, inputs: Sequence[Any], targets: Sequence[Any]) -> Question:
        """Rows to answer as every score's are."""
        ...

    def read(self, inputs: Sequence[Any]) -> Question:
        """Rows whose encodings are wanted: of each an array of the model's width."""
        ...

    def emitting(
        self, examples: Sequence[Any], description: str | None = None, *, jointly: bool = False
    ) -> Question:
        """Examples, and a task's description, to write a prompt from, each a row; or all examples
        in one."""
        ...

    def shown(self, examples: Sequence[Any], most: int | None = None) -> Sequence[Sequence[int]]:
        """Examples as a meta-prompt's encoder reads them, each alone, `most` of an input."""
        ...

    def shown_jointly(self, shown: Sequence[Sequence[int]]) -> Sequence[int]:
        """Such examples in one row, as many as it holds."""
        ...

    def shown_description(self, description: str) -> Sequence[int]:
        """A task's description likewise."""
        ...

    def shown_size(self, longest: int) -> int:
        """The padded size for what is shown."""
        ...

    def answers(self, operation: str, result: Any, rows: Any) -> list[Any]:
        """What a user gets of an operation's result, for the rows of these numbers [rows]."""
        ...

    def texts(self, predicted: Any) -> list[str]:
        """Predictions of a gradient pass, in words."""
        ...
