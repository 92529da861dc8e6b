"""T5X's rules of logical axes: which mesh axis each named axis of a parameter is spread over."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ptsys.errors import InvalidInput
from ptsys.sharding.mesh import DATA, MODEL

Rules = tuple[tuple[str, str | None], ...]

#: `t5x.partitioning.standard_logical_axis_rules()` for parameters that only `model` divides.
STANDARD: Rules = (
    ("vocab", MODEL),
    ("joined_kv", MODEL),
    ("heads", MODEL),
    ("mlp", MODEL),
    ("embed", None),
    ("relpos_buckets", None),
)


@dataclasses.dataclass(frozen=True)
class LogicalRules:
    """The first rule of an axis counts; an axis without a rule is not spread.

    Raises InvalidInput for a mesh axis that the frozen model cannot lie along.
    """

    rules: Rules = STANDARD

    def __post_init__(self) -> None:
        for axis, over in self.rules:
            if over not in (None, MODEL):
                reason = "rows and prompts lie along it" if over == DATA else "there is none"
                raise InvalidInput(
                    f"the rule of {axis!r} names the mesh axis {over!r}: {reason}; name "
                    f"{MODEL!r} or None",
                    field="rules",
                )

    def sharding(
        self, mesh: Mesh, axes: Sequence[str | None], units: Sequence[int]
    ) -> NamedSharding:
        """Where an array with these logical axes lies. `units` says into how many parts each axis
        may be cut at most (its length; for joined heads their number): an axis that the mesh does
        not divide evenly stays whole, and so does a second one over the same mesh axis."""
        spec: list[str | None] = []
        for axis, count in zip(axes, units, strict=True):
            over = self._over.get(axis or "")
            even = over is not None and count % mesh.shape.get(over, 1) == 0
            spec.append(over if even and over in mesh.shape and over not in spec else None)
        return NamedSharding(mesh, PartitionSpec(*spec))

    @property
    def _over(self) -> Mapping[str, str | None]:
        return dict(reversed(self.rules))
