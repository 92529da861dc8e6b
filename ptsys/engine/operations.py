"""What the device can be asked to do: how each operation is lowered, laid out and answered."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from numpy.typing import NDArray

from ptsys.engine.groups import Shape
from ptsys.engine.slot_memory import SlotMemory
from ptsys.kinds.batch import Readings, Rows
from ptsys.kinds.model_kind import RowCoder
from ptsys.kinds.trees import Layout, Tree, taken
from ptsys.passes.answers import answer
from ptsys.passes.frozen import Frozen
from ptsys.passes.gradients import gradients
from ptsys.passes.train import Context, train_step
from ptsys.sharding.mesh import ROWS, WHOLE, placed, shards_of


@dataclasses.dataclass(frozen=True)
class GradientsResult:
    """Loss (for text the mean over all target tokens, nats), its gradient, an array for each of
    the prompt's, and per row the mean loss and the teacher-forced prediction."""

    loss: float
    tokens: int
    gradients: Tree
    row_losses: list[float]
    predictions: list[str]

    @property
    def gradient(self) -> NDArray[np.float32]:
        """Of a prompt of one array."""
        [only] = self.gradients.values()
        return only


class Asked(Protocol):
    """A call as its operation answers it: its prompt, if it has one, with that prompt's layout,
    and where prompt and rows lie in the batch."""

    @property
    def tree(self) -> Tree | None:
        """Its prompt."""
        ...

    @property
    def layout(self) -> Layout:
        """The prompt's padded shapes."""
        ...

    @property
    def prompt(self) -> int:
        """The prompt's number in the batch."""
        ...

    @property
    def rows(self) -> NDArray[np.int64]:
        """Its rows' numbers there."""
        ...


class Operation(Protocol):
    """See the module."""

    @property
    def words(self) -> str:
        """What it is, for users."""
        ...

    @property
    def apart(self) -> bool:
        """Something comes back for a whole prompt: its rows lie on one data shard, and a shard has
        its own prompts alone."""
        ...

    @property
    def stays(self) -> bool:
        """Its items are residents, which lie where their slots do: at worst all on one shard."""
        ...

    def arguments(self, frozen: Frozen, shape: Shape) -> tuple[Any, ...]:
        """The shapes of what a step is given besides the model and the slots."""
        ...

    def lower(self, frozen: Frozen, shape: Shape, memory: SlotMemory | None) -> Any:
        """A shape's program, ready to be compiled. `memory` holds the slots of the group's prompts
        where residents are trained."""
        ...

    def answer(self, asked: Asked, result: Any, coder: RowCoder) -> Any:
        """What a call gets out of a step's result."""
        ...


@dataclasses.dataclass(frozen=True)
class Train:
    """A step of residents, each with its own optimizer."""

    words: str = "a training step"
    apart: bool = True
    stays: bool = True

    def arguments(self, frozen: Frozen, shape: Shape) -> tuple[Any, ...]:
        """Which residents, their rows, and what their readings are made in."""
        rows = _Arrays(frozen.mesh, ROWS, shards_of(frozen.mesh))
        return rows.struct("int32", shape.slots), rows.rows(shape), rows.context(shape)

    def lower(self, frozen: Frozen, shape: Shape, memory: SlotMemory | None) -> Any:
        """See `Operation`."""
        assert memory is not None
        state, hyper = jax.tree.map(_like, (memory.state, memory.hyper))
        packed = dict(shape.group.options)["packed"]
        arguments = self.arguments(frozen, shape)
        return train_step.lower(
            frozen, state, hyper, *arguments, layout=shape.group.prompt, packed=packed
        )

    def answer(self, asked: Asked, result: Any, coder: RowCoder) -> Any:
        """Nobody calls: residents are told."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class PromptGradients:
    """Losses of rows and their prompts' gradients."""

    words: str = "gradients"
    apart: bool = True
    stays: bool = False

    def arguments(self, frozen: Frozen, shape: Shape) -> tuple[Any, ...]:
        """Prompts and rows, the shards' one after another."""
        spread = _Arrays(frozen.mesh, ROWS, shards_of(frozen.mesh))
        return spread.readings(shape), spread.rows(shape)

    def lower(self, frozen: Frozen, shape: Shape, memory: SlotMemory | None) -> Any:
        """See `Operation`."""
        return gradients.lower(frozen, *self.arguments(frozen, shape))

    def answer(self, asked: Asked, result: Any, coder: RowCoder) -> GradientsResult:
        """See `GradientsResult`."""
        assert asked.tree is not None
        return GradientsResult(
            loss=float(result.loss[asked.prompt]),
            tokens=int(result.tokens[asked.prompt]),
            gradients={
                leaf.name: taken(
                    result.values[leaf.name][asked.prompt], leaf, asked.tree[leaf.name].shape
                )
                for leaf in asked.layout.leaves
            },
            row_losses=[float(x) for x in result.row_loss[asked.rows]],
            predictions=coder.texts(result.predicted[asked.rows]),
        )


@dataclasses.dataclass(frozen=True)
class Answers:
    """Something for every row, as the model kind gives it: see `ModelKind.answer`."""

    name: str
    words: str
    apart: bool = False
    stays: bool = False

    def arguments(self, frozen: Frozen, shape: Shape) -> tuple[Any, ...]:
        """Prompts, which every shard has, and rows."""
        rows = _Arrays(frozen.mesh, ROWS, shards_of(frozen.mesh))
        return _Arrays(frozen.mesh, WHOLE).readings(shape), rows.rows(shape)

    def lower(self, frozen: Frozen, shape: Shape, memory: SlotMemory | None) -> Any:
        """See `Operation`."""
        readings, rows = self.arguments(frozen, shape)
        options = shape.group.options
        return answer.lower(frozen, readings, rows, operation=self.name, options=options)

    def answer(self, asked: Asked, result: Any, coder: RowCoder) -> Any:
        """The rows' own, as the row coder reads them."""
        return coder.answers(self.name, result, asked.rows)


OPERATIONS: Mapping[str, Operation] = {
    "train": Train(),
    "gradients": PromptGradients(),
    "score": Answers("score", "scores of labels"),
    "generate": Answers("generate", "answers"),
    "encode": Answers("encode", "encodings"),
    "emit": Answers("emit", "what prompts are written from"),
    "likely": Answers("likely", "answers to learn from"),
}


def in_words(shape: Shape) -> str:
    """A compiled step, for users."""
    group = shape.group
    prompts = "1 prompt" if shape.slots == 1 else f"{shape.slots} prompts"
    sizes = [
        f"{group.prompt.positions} prompt",
        *(
            f"{x.size} {x.name.removesuffix('s')}"
            for x in group.rows
            if x.shape and "/" not in x.name  # what stands beside another has its size
        ),
    ]
    most = " and ".join([", ".join(sizes[:-1]), sizes[-1]])
    words = OPERATIONS[group.operation].words
    return f"{words} for {shape.rows} rows and {prompts} (at most {most} tokens)"


@dataclasses.dataclass(frozen=True)
class _Arrays:
    """Shapes of arrays that lie on a mesh in one way, their first axis `times` as long."""

    mesh: Mesh | None
    spec: PartitionSpec
    times: int = 1

    def struct(self, dtype: str, first: int, *rest: int) -> Any:
        shape = (self.times * first, *rest)
        return jax.ShapeDtypeStruct(shape, jnp.dtype(dtype), sharding=placed(self.mesh, self.spec))

    def readings(self, shape: Shape) -> Readings:
        leaves = shape.group.prompt.leaves
        return Readings(
            {leaf.name: self.struct("float32", shape.slots, *leaf.shape) for leaf in leaves},
            {leaf.name: self.struct("int32", shape.slots) for leaf in leaves},
        )

    def context(self, shape: Shape) -> Context:
        context = shape.group.prompt.context
        return {x.name: self.struct(x.dtype, shape.readings, *x.shape) for x in context}

    def rows(self, shape: Shape) -> Rows:
        features = {x.name: self.struct(x.dtype, shape.rows, *x.shape) for x in shape.group.rows}
        return Rows(features, self.struct("int32", shape.rows))


def _like(x: jax.Array) -> Any:
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding)
