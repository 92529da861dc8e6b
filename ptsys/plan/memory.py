"""HBM of one chip, by what it holds."""

from __future__ import annotations

import dataclasses
import re

from ptsys.plan.chips import GIB

_TEMPORARIES = re.compile(r"memory required for HLO temporaries \(([\d.]+)([KMGT]?)\)")
_WHOLE = re.compile(r"[Uu]sed ([\d.]+)([KMGT]?) of [\d.]+[KMGT]? hbm")
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": GIB, "T": GIB << 10}


@dataclasses.dataclass(frozen=True)
class Memory:
    """Bytes on one chip.

    `padding` is what the device's tiles add to the arguments; `results` is what the step returns
    in arrays of its own; `activations` are the compiler's temporaries. Where a program does not
    fit the compiler tells one size, `needed`; the rest is then known only of the arguments.
    """

    hbm: int
    weights: int
    prompts: int
    optimizer: int
    rows: int
    padding: int = 0
    results: int = 0
    activations: int = 0
    code: int = 0
    needed: int = 0

    @property
    def used(self) -> int:
        """Everything."""
        given = self.weights + self.prompts + self.optimizer + self.rows + self.padding
        return max(given + self.results + self.activations + self.code, self.needed)

    @property
    def headroom(self) -> int:
        """What is left, negative where the program does not fit."""
        return self.hbm - self.used

    @property
    def fits(self) -> bool:
        """Whether the program compiled."""
        return self.needed == 0


def needed_bytes(message: str, arguments: int) -> int | None:
    """The size that an out-of-memory error of the compiler tells, of a program with so many bytes
    of arguments; None for another error; 1 where it tells no size."""
    if "RESOURCE_EXHAUSTED" not in message and "CompileTimeHbmOom" not in message:
        return None
    temporaries, whole = _TEMPORARIES.search(message), _WHOLE.search(message)
    if temporaries:
        return arguments + _size(temporaries)
    return _size(whole) if whole else 1


def _size(found: re.Match[str]) -> int:
    return int(float(found.group(1)) * _UNITS[found.group(2)])
