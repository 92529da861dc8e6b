"""A frozen model as a pytree whose structure compares by identity, so that calls are cheap."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
from flax import nnx
from jax.sharding import Mesh

from ptsys.kinds.model_kind import ModelKind
from ptsys.kinds.registry import model_kind
from ptsys.models.execution import Execution
from ptsys.models.placement import place
from ptsys.models.t5.config import T5Config
from ptsys.models.t5.network import T5
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
    ) -> None:
        self.config = config
        self.execution = execution or Execution()
        self.graphdef = graphdef
        self.kind: ModelKind = model_kind(config.kind)(config)
        self.treedef = treedef
        self.mesh = mesh

    def placeholder(self) -> Any:
        """The parameters' tree with each one's number in place of its values."""
        return jax.tree.unflatten(self.treedef, range(self.treedef.num_leaves))


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
    structure = Structure(model.config, graphdef, treedef, mesh, execution or model.execution)
    return Frozen(tuple(leaves), structure)
