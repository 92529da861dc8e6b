"""The least time a step can take on a chip's published figures: compute, memory, network.

Each is what that part alone would need at its peak; a real step takes at least the longest of
them, and up to their sum where they do not overlap.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

from ptsys.plan.case import Case
from ptsys.plan.products import flops, forward_flops, products, times_again

Limit = Literal["compute", "memory", "network"]
NUMBER_BYTES = {"bfloat16": 2, "float32": 4}


@dataclasses.dataclass(frozen=True)
class Roofline:
    """Seconds a step by each limit, and the FLOPs of one row: as the device computes them, and
    without what is computed again or for nothing (`useful_flops_a_row`, what model FLOPs
    utilization counts)."""

    flops_a_row: int
    useful_flops_a_row: int
    compute: float
    memory: float
    network: float

    @property
    def least(self) -> float:
        """The longest of the three: no step is faster."""
        return max(self.compute, self.memory, self.network)

    @property
    def expected(self) -> float:
        """As if products hid their own memory traffic, but waited for the collectives between
        them, as those of a model spread over `model` do."""
        return max(self.compute, self.memory) + self.network

    @property
    def limit(self) -> Limit:
        """Which of the three is the longest."""
        named: dict[Limit, float] = {
            "compute": self.compute,
            "memory": self.memory,
            "network": self.network,
        }
        return max(named, key=lambda name: named[name])


def roofline(case: Case, sent_bytes: float) -> Roofline:
    """Of the rows of the case, none of them padding; `sent_bytes` is what one chip sends."""
    place = case.place
    a_row = sum(flops(case).values())
    useful = sum(forward_flops(case).values())
    if case.learns:
        useful += sum(part.backward_flops for part in products(case))
    return Roofline(
        flops_a_row=a_row,
        useful_flops_a_row=useful,
        compute=a_row * case.rows / (place.chips * place.chip.flops),
        memory=hbm_bytes(case) / place.chip.hbm_rate,
        network=sent_bytes / place.chip.ici_rate,
    )


def hbm_bytes(case: Case) -> int:
    """Bytes that one chip moves to and from its HBM at the least: in every pass over a chunk its
    part of the weights once, and what every product with a weight reads and writes: the hidden
    states whole, the other side split over the model axis. Scores of attention are left out: they
    can stay in the chip's own memory.
    """
    weights = activations = 0.0
    width = case.config.d_model
    for part in products(case):
        if not part.weight:
            continue
        passes = 1 + (part.gradients + times_again(case, part) if case.learns else 0)
        weights += part.weight_numbers * passes * case.chunks / case.model
        split = part.right if part.inner == width else part.inner
        moved = part.left * (width + split / case.model) * part.times
        activations += moved * passes * case.shard_rows
    return math.ceil(NUMBER_BYTES[case.dtype] * (weights + activations))
