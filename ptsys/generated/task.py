"""What a generated task and a family of tasks are."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

#: Draws one (input, target); all its randomness comes from the argument.
Draw = Callable[[random.Random], tuple[str, str]]


@dataclass(frozen=True)
class GeneratedTask:
    """One synthetic text task: a mapping of inputs to targets, with its instruction in words."""

    name: str
    family: str
    instructions: tuple[str, ...]
    draw: Draw

    @property
    def traits(self) -> tuple[str, ...]:
        """What it has in common with others, the most general first: its family, each part of its
        variant wherever that stands, each at its place in the family, and itself."""
        family, *variant = self.name.split("/")
        placed = (f"{family}/{place}/{part}" for place, part in enumerate(variant))
        return tuple(dict.fromkeys((family, *(f"*/{x}" for x in variant), *placed, self.name)))


Sampler = Callable[[random.Random], GeneratedTask]


@dataclass(frozen=True)
class Family:
    """A kind of task: `sample` makes one random variant; `weight` is its share of a mixture."""

    name: str
    weight: float
    sample: Sampler


MAX_INSTRUCTIONS = 8


def make(
    family: str, variant: Sequence[object], instructions: Sequence[str], draw: Draw
) -> GeneratedTask:
    """Build a task named `family/variant/...`, with at most eight distinct instructions."""
    parts = (str(part).strip().replace(" ", "_").replace("/", "_") or "-" for part in variant)
    kept = tuple(dict.fromkeys(instructions))[:MAX_INSTRUCTIONS]
    if len(kept) < 2:
        raise ValueError(f"{family}: a task needs at least two instructions, has {kept}")
    return GeneratedTask("/".join((family, *parts)), family, kept, draw)
