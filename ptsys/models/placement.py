"""Where a model's parameters lie on a mesh."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flax import nnx
from jax.sharding import Mesh, NamedSharding

from ptsys.models.parameters import Shape, logical_axes
from ptsys.models.t5.config import T5Config
from ptsys.sharding.group import spread
from ptsys.sharding.rules import LogicalRules

State = nnx.State[Any, Any]


def placement(
    mesh: Mesh, rules: LogicalRules | None = None
) -> Callable[[T5Config], dict[str, NamedSharding]]:
    """The sharding of every parameter of a configuration, by dotted path; see
    `ptsys.models.loaded.Placement`. Heads are never cut in two."""
    chosen = rules or LogicalRules()

    def shardings(config: T5Config) -> dict[str, NamedSharding]:
        return {
            path: chosen.sharding(mesh, axes, _units(axes, shape, config))
            for path, (axes, shape) in logical_axes(config).items()
        }

    return shardings


def place(state: State, config: T5Config, mesh: Mesh, rules: LogicalRules | None = None) -> State:
    """A model's state on the mesh, as its parameters' own axis names say. What lies so already
    stays where it is."""
    chosen = rules or LogicalRules()

    def placed(variable: Any) -> Any:
        axes, value = variable.get_metadata()["out_sharding"], variable.get_value()
        where = chosen.sharding(mesh, axes, _units(axes, value.shape, config))
        return variable.replace(spread(value, where))

    found = [(path, placed(variable)) for path, variable in nnx.to_flat_state(state)]
    return nnx.from_flat_state(found)


def _units(axes: tuple[str, ...], shape: Shape, config: T5Config) -> list[int]:
    return [
        config.num_heads if axis == "joined_kv" else length
        for axis, length in zip(axes, shape, strict=True)
    ]
