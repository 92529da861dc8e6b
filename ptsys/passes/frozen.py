"""A frozen model as a pytree whose structure compares by identity, so that calls are cheap."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
from flax import nnx
from jax.sharding import Mesh

from ptsys.models.config import T5Config
from ptsys.models.t5 import T5
from ptsys.sharding.group import spread
from ptsys.sharding.mesh import WHOLE, placed


class Structure:
    """All of a model but its weights. Two are equal only if they are the same object, which
    spares the comparison of the whole module tree on every call."""

    def __init__(
        self, config: T5Config, graphdef: Any, treedef: Any, mesh: Mesh | None = None
    ) -> None:
        self.config = config
        self.graphdef = graphdef
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
    def mesh(self) -> Mesh | None:
        """The devices it lies on; None is one device, wherever JAX puts it."""
        return self.structure.mesh

    def model(self) -> T5:
        """The callable model; free inside a traced function."""
        state = jax.tree.unflatten(self.structure.treedef, self.leaves)
        model: T5 = nnx.merge(self.structure.graphdef, state)
        return model


def freeze(model: T5, mesh: Mesh | None = None) -> Frozen:
    """Split a model into weights and structure; the weights go to every shard of `mesh`."""
    graphdef, state = nnx.split(model)
    leaves, treedef = jax.tree.flatten(state)
    if mesh is not None:
        leaves = spread(leaves, placed(mesh, WHOLE))
    return Frozen(tuple(leaves), Structure(model.config, graphdef, treedef, mesh))
