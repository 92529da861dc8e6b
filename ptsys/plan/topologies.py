"""TPU topologies by name: `v5e:2x4` is eight v5e chips in a grid of two by four."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from ptsys.errors import InvalidInput
from ptsys.plan.chips import CHIPS, Chip

_FLAT = ("1x1", "2x2", "2x4", "4x4", "4x8", "8x8", "8x16", "16x16")
_CUBIC = ("2x2x1", "2x2x2", "2x2x4", "2x4x4", "4x4x4", "4x4x8", "4x8x8", "8x8x8")
SHAPES = {"v4": _CUBIC, "v5e": _FLAT, "v5p": _CUBIC, "v6e": _FLAT}


@dataclasses.dataclass(frozen=True)
class Topology:
    """Chips of one kind in a grid."""

    name: str
    chip: Chip
    shape: tuple[int, ...]

    @property
    def chips(self) -> int:
        """How many chips."""
        return math.prod(self.shape)

    def options(self) -> dict[str, Any]:
        """What libtpu needs to know beside the name: a lone chip is a host of its own, and the two
        cores of a v4 chip work as one, as those of a v5p always do."""
        options: dict[str, Any] = {}
        if self.chips == 1:
            options["chips_per_host_bounds"] = [1, 1, 1]
        if self.chip.name == "v4":
            options["chip_config_name"] = "megacore"
        return options


def topology(name: str) -> Topology:
    """The topology of that name. Raises InvalidInput, which lists those known."""
    kind, _, shape = name.partition(":")
    if shape not in SHAPES.get(kind, ()):
        raise InvalidInput(f"{name!r} is no topology known here; use {_listed()}", field="topology")
    return Topology(name, CHIPS[kind], tuple(int(x) for x in shape.split("x")))


def _listed() -> str:
    return ", ".join(f"{kind}:{'|'.join(shapes)}" for kind, shapes in SHAPES.items())
