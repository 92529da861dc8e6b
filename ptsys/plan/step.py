"""The real step of `ptsys.passes`, lowered for devices that need not exist, from shapes alone."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ptsys.kinds.batch import Readings, Rows
from ptsys.kinds.registry import prompt_kind
from ptsys.kinds.trees import Layout, Leaf
from ptsys.models.placement import placement
from ptsys.models.t5.decoding import choices
from ptsys.models.t5.kind import text_rows
from ptsys.models.t5.network import abstract
from ptsys.passes.answers import answer
from ptsys.passes.frozen import Frozen, Structure
from ptsys.passes.gradients import gradients
from ptsys.passes.optimizers import LeafState, SlotState, hyperparameters
from ptsys.passes.train import train_step
from ptsys.plan.case import MEANS, Case
from ptsys.prompts.meta_kind import WRITING, written_layout
from ptsys.sharding.mesh import DATA, ROWS, WHOLE
from ptsys.types.training import Optimizer


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Bytes on one chip of what a step is given, without the device's padding."""

    weights: int
    prompts: int
    optimizer: int
    rows: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.prompts + self.optimizer + self.rows


@dataclasses.dataclass(frozen=True)
class LoweredStep:
    """A step before it is compiled, what its arguments take, and the most times that its loops of
    unknown length go round, outer ones first."""

    lowered: jax.stages.Lowered
    arguments: Arguments
    trips: tuple[int, ...]


class _Given:
    """A step's arguments as shapes that lie on a mesh."""

    def __init__(self, case: Case, mesh: Mesh) -> None:
        self._rows = NamedSharding(mesh, ROWS)
        self._whole = NamedSharding(mesh, WHOLE)
        self.case = case
        self.frozen = frozen_shapes(case, mesh)

    def spread(self, shape: tuple[int, ...], dtype: Any) -> jax.ShapeDtypeStruct:
        """An array whose leading axis lies over the data shards."""
        return jax.ShapeDtypeStruct(shape, dtype, sharding=self._rows)

    @property
    def layout(self) -> Layout:
        """The prompts', as long as the case says."""
        case = self.case
        if case.step == "meta":
            shapes = {**WRITING.shapes(MEANS, case.config), **case.generator_shapes}
            size, learns = (case.tasks, case.examples, case.inputs), case.generator == "own-trained"
            layout = written_layout(shapes, *size, "each", taught=False, generator_learns=learns)
            return layout._replace(positions=case.prompt)
        kind = prompt_kind(case.prompt_kind)
        return kind.layout(kind.shapes(case.prompt, case.config))

    def readings(self, *, whole: bool) -> Readings:
        """The users' prompts; a prediction's lie on every shard."""
        where, users = self._whole if whole else self._rows, self.case.users
        values = {
            leaf.name: jax.ShapeDtypeStruct(
                (users, *leaf.shape), jnp.float32, sharding=self._like(leaf) or where
            )
            for leaf in self.layout.leaves
        }
        length = jax.ShapeDtypeStruct((users,), jnp.int32, sharding=where)
        return Readings(values, dict.fromkeys(values, length))  # type: ignore[arg-type]

    def _like(self, leaf: Leaf) -> NamedSharding | None:
        """Where an array lies that is spread as a parameter of the frozen model is."""
        if not leaf.like:
            return None
        over = self.frozen.structure.lies(leaf.like)
        return NamedSharding(self._rows.mesh, PartitionSpec(DATA, *over))

    def rows(self) -> Rows:
        """The rows' tokens and slots."""
        case = self.case
        shapes = ((case.rows, case.inputs), (case.rows, case.targets), (case.rows,))
        return text_rows(*(self.spread(shape, jnp.int32) for shape in shapes))  # type: ignore[arg-type]

    def like(self, tree: Any) -> Any:
        """Arrays of those shapes, spread."""
        return jax.tree.map(lambda x: self.spread(x.shape, x.dtype), tree)


Lower = Callable[[_Given], tuple[jax.stages.Lowered, Arguments]]


def lower(case: Case, mesh: Mesh) -> LoweredStep:
    """Trace and lower the case's step for the devices of `mesh`."""
    lowered, arguments = _LOWER[case.step](_Given(case, mesh))
    return LoweredStep(lowered, arguments, _trips(case))


def frozen_shapes(case: Case, mesh: Mesh) -> Frozen:
    """The frozen model as shapes in the case's data type, each where its values would lie."""
    graphdef, state = nnx.split(abstract(case.config))
    leaves, treedef = jax.tree.flatten(state)
    where = placement(mesh)(case.config)
    dtype = jnp.dtype(case.dtype)
    placed = tuple(
        jax.ShapeDtypeStruct(x.shape, dtype, sharding=sharding)
        for x, sharding in zip(leaves, where.values(), strict=True)
    )
    shardings = tuple(where.values())
    structure = Structure(case.config, graphdef, treedef, mesh, case.execution, shardings)
    return Frozen(placed, structure)  # type: ignore[arg-type]


def _lower_gradients(given: _Given) -> tuple[jax.stages.Lowered, Arguments]:
    readings, rows = given.readings(whole=False), given.rows()
    lowered = gradients.lower(given.frozen, readings, rows)
    return lowered, _arguments(given.frozen, readings, rows)


def _lower_train(given: _Given) -> tuple[jax.stages.Lowered, Arguments]:
    users, readings, rows = given.case.users, given.readings(whole=False), given.rows()
    count = given.spread((users,), jnp.int32)
    leaves = {
        name: LeafState(value, count, value, value, count)  # type: ignore[arg-type]
        for name, value in readings.values.items()
    }
    state = SlotState(leaves, count)  # type: ignore[arg-type]
    one = given.like(hyperparameters([Optimizer()] * users, [1] * users))
    hyper = dict.fromkeys(leaves, one)
    residents = given.spread((users,), jnp.int32)
    context = {
        x.name: given.spread((users * given.layout.readings, *x.shape), jnp.dtype(x.dtype))
        for x in given.layout.context
    }
    lowered = train_step.lower(
        given.frozen, state, hyper, residents, rows, context, layout=given.layout
    )
    moments = [(leaf.first, leaf.second, leaf.step) for leaf in leaves.values()]
    return lowered, _arguments(given.frozen, readings, (rows, residents, context), (moments, hyper))


def _lower_score(given: _Given) -> tuple[jax.stages.Lowered, Arguments]:
    readings, rows = given.readings(whole=True), given.rows()
    lowered = answer.lower(given.frozen, readings, rows, operation="score")
    return lowered, _arguments(given.frozen, readings, rows)


def _lower_predict(given: _Given) -> tuple[jax.stages.Lowered, Arguments]:
    readings, rows, case = given.readings(whole=True), given.rows(), given.case
    wishes = given.like(choices(case.rows, case.targets))
    asked = Rows({"inputs": rows.features["inputs"], **wishes._asdict()}, rows.slot)
    options = (("max_tokens", case.targets),)
    lowered = answer.lower(given.frozen, readings, asked, operation="generate", options=options)
    return lowered, _arguments(given.frozen, readings, asked)


_LOWER: dict[str, Lower] = {
    "gradients": _lower_gradients,
    "train": _lower_train,
    "meta": _lower_train,
    "score": _lower_score,
    "predict": _lower_predict,
}


def _trips(case: Case) -> tuple[int, ...]:
    """Chunks of rows, and in each blocks of positions on the vocabulary; tokens to generate."""
    if case.step == "predict":
        return (case.targets,)
    block = case.execution.vocabulary_block
    blocks = () if block is None else (math.ceil(case.chunk * case.targets / block),)
    return (case.chunks, *blocks) if case.learns else blocks


def _arguments(frozen: Frozen, prompts: Any, rows: Any, optimizer: Any = ()) -> Arguments:
    return Arguments(
        weights=_chip_bytes(frozen.leaves),
        prompts=_chip_bytes(prompts),
        optimizer=_chip_bytes(optimizer),
        rows=_chip_bytes(rows),
    )


def _chip_bytes(tree: Any) -> int:
    return sum(
        math.prod(x.sharding.shard_shape(x.shape)) * jnp.dtype(x.dtype).itemsize
        for x in jax.tree.leaves(tree)
    )
