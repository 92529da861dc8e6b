"""A job's options under flat names, as command lines and gin files have them.

There an optimizer's rate is `learning_rate`, not `optimizer.learning_rate`. Names, types, defaults,
bounds and descriptions are those of the fields of `ptsys.types`: an option is spelled there alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from pydantic.fields import FieldInfo

from ptsys.types.model import Unset
from ptsys.types.training import BareJobSpec, Optimizer

_OPTIMIZER, _START = "optimizer", "initialization"
_CALLED = {(_OPTIMIZER, "kind"): _OPTIMIZER, (_START,): "init"}


@dataclasses.dataclass(frozen=True)
class FlatOption:
    """One option: its flat name, the way to its field, and the field."""

    name: str
    path: tuple[str, ...]
    field: FieldInfo

    @property
    def unset(self) -> str | None:
        """What it means to leave it out, where its default is None."""
        return next((one.told for one in self.field.metadata if isinstance(one, Unset)), None)


def flat_options(kind: type[BareJobSpec]) -> dict[str, FlatOption]:
    """The options of a kind of job, by their flat names, in the order of its fields."""
    found: dict[str, FlatOption] = {}
    for name, field in kind.model_fields.items():
        paths: dict[tuple[str, ...], FieldInfo] = {(name,): field}
        if name == _OPTIMIZER:
            paths = {(name, part): one for part, one in Optimizer.model_fields.items()}
        for path, one in paths.items():
            flat = flat_name(path)
            found[flat] = FlatOption(flat, path, one)
    return found


def flat_name(path: tuple[str | int, ...]) -> str:
    """The flat name of the option at that place of a job's options, such as an error tells."""
    place = tuple(str(part) for part in path)
    for length in (2, 1):
        if place[:length] in _CALLED:
            return _CALLED[place[:length]]
    return ".".join(place[1:] if place[0] == _OPTIMIZER and place[1:] else place)


def nested(kind: type[BareJobSpec], values: Mapping[str, Any]) -> dict[str, Any]:
    """The options as the kind takes them; what is not among the values keeps its default."""
    known = flat_options(kind)
    found: dict[str, Any] = {}
    for name, one in values.items():
        path = known[name].path
        if len(path) == 1:
            found[path[0]] = one
        else:
            found.setdefault(path[0], {})[path[1]] = one
    return found
