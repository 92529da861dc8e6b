"""A frozen model as a pytree whose structure compares by identity, so that calls are cheap."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ptsys.kinds.model_kind import ModelKind
from ptsys.kinds.registry import model_kind
from ptsys.models.execution import Execution
from ptsys.models.parameters import dotted
from ptsys.models.placement import place
from ptsys.models.quantization import quantized
from ptsys.models.t5.config import T5Config
from ptsys.models.t5.generator import ENCODER, first_of, parameter
from ptsys.models.t5.network import T5
from ptsys.sharding.group import spread
from ptsys.sharding.rules import LogicalRules


class Structure:
    """All of a model but its weights. Two are equal only if they are the same object, which
    spares the comparison of the whole module tree on every call."""

    def __init__(
        self,
        config: T5Config,
        graphdef: Any,
        treedef: Any,
        mesh: Mesh | None = None,
        execution: Execution | None = None,
        where: Sequence[Any] = (),
    ) -> None:
        """`where` are the shardings of all leaves, if they lie on a mesh."""
        self.config = config
        self._where = where
        self.execution = execution or Execution()
        self.graphdef = graphdef
        self.kind: ModelKind = model_kind(config.kind)(config)
        self.treedef = treedef
        self.mesh = mesh

    def placeholder(self) -> Any:
        """The parameters' tree with each one's number in place of its values."""
        return jax.tree.unflatten(self.treedef, range(self.treedef.num_leaves))

    def lies(self, path: str) -> PartitionSpec:
        """How a parameter is spread over a data shard's devices, by its dotted path; of what all
        layers of the encoder have one of, all of them, by a generator's."""
        first = first_of(path.removeprefix(ENCODER))
        if first is not None:
            return PartitionSpec(None, *self.lies(ENCODER + first))
        sharding = self._where[self.numbers[path]] if self._where else None
        return sharding.spec if isinstance(sharding, NamedSharding) else PartitionSpec()

    @functools.cached_property
    def numbers(self) -> dict[str, int]:
        """The number of every parameter among the leaves, by its dotted path."""
        flat = nnx.to_flat_state(self.placeholder())
        return {dotted(path): variable.get_value() for path, variable in flat}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Frozen:
    """The weights, as a flat tuple, and the structure that turns them back into a model."""

    leaves: tuple[jax.Array, ...]
    structure: Structure = dataclasses.field(metadata={"static": True})

    @property
    def config(self) -> T5Config:
        """The model's shape."""
        return self.structure.config

    @property
    def kind(self) -> ModelKind:
        """What knows its rows, losses and answers."""
        return self.structure.kind

    @property
    def mesh(self) -> Mesh | None:
        """The devices it lies on; None is one device, wherever JAX puts it."""
        return self.structure.mesh

    @property
    def execution(self) -> Execution:
        """What its passes hold and what they compute again."""
        return self.structure.execution

    def with_encoder(self, arrays: Mapping[str, Any]) -> Frozen:
        """The same with an encoder of a generator's parameters, each in the type and where the
        frozen one is: whatever is compiled for one runs the other."""
        leaves, number = list(self.leaves), self.structure.numbers
        for path, index in number.items():
            below, own = path.removeprefix(ENCODER), leaves[index]
            scaled = path.endswith("kernel") and own.dtype == jnp.int8
            if below == path or path.removesuffix("scale") + "kernel" in number:
                continue  # no encoder's, or made with its kernel
            array = np.asarray(parameter(arrays, below), np.float32)
            value: jax.Array = spread(array, own.sharding if self.mesh is not None else None)
            if scaled:
                value, leaves[number[path.removesuffix("kernel") + "scale"]] = quantized(value)
            leaves[index] = value.astype(own.dtype)
        return Frozen(tuple(leaves), self.structure)

    def model(self) -> T5:
        """The callable model; free inside a traced function."""
        state = jax.tree.unflatten(self.structure.treedef, self.leaves)
        model: T5 = nnx.merge(self.structure.graphdef, state)
        model.execution = self.execution
        return model


def freeze(
    model: T5,
    mesh: Mesh | None = None,
    *,
    rules: LogicalRules | None = None,
    execution: Execution | None = None,
) -> Frozen:
    """Split a model into weights and structure; the weights go to every data shard of `mesh`,
    spread there by `rules`. Weights that lie so already stay where they are."""
    graphdef, state = nnx.split(model)
    if mesh is not None:
        state = place(state, model.config, mesh, rules)
    leaves, treedef = jax.tree.flatten(state)
    where = () if mesh is None else tuple(leaf.sharding for leaf in leaves)
    own = execution or model.execution
    structure = Structure(model.config, graphdef, treedef, mesh, own, where)
    return Frozen(tuple(leaves), structure)
