"""The collectives of a compiled program: how many bytes the chips exchange in one step.

Loops are counted by their trips, which XLA writes where it knows them. Where it does not, as for
the chunks of a batch, which end with its rows, the caller says how many there are at most.
"""

from __future__ import annotations

import collections
import dataclasses
import math
import re
from collections.abc import Sequence

from ptsys.plan.hlo import Buffer, Instruction, Program

KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")

_TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')
_LISTED = re.compile(r"replica_groups=\{\{([\d,]*)\}")
_IOTA = re.compile(r"replica_groups=\[(\d+),(\d+)\]")
_MESH = re.compile(r"replica_groups=mesh\[([^\]]*)\]\s*\{([^}]*)\}")


@dataclasses.dataclass(frozen=True)
class Collective:
    """Those of one kind over groups of one size. `count` and `bytes` (results on one chip) are of
    a whole step; `sent_bytes` is what a chip sends in the best algorithm, a ring's."""

    kind: str
    group: int
    count: int
    bytes: int

    @property
    def sent_bytes(self) -> float:
        """Chan et al. 2007, section 3: lower bounds that a ring reaches."""
        n = self.group
        if self.kind == "collective-permute":
            return float(self.bytes)
        share = (n - 1) / n if n else 0.0
        scale = {"all-reduce": 2 * share, "reduce-scatter": n - 1.0}.get(self.kind, share)
        return scale * self.bytes


def collectives(program: Program, devices: int, trips: Sequence[int] = ()) -> list[Collective]:
    """All collectives of one run, by kind and size of their groups; `trips` is how often loops go
    round whose length XLA does not know: the outermost, those in it, and so on."""
    totals: dict[tuple[str, int], list[int]] = collections.defaultdict(lambda: [0, 0])
    _walk(program, program.entry, 1, tuple(trips), devices, totals)
    return [Collective(*key, *value) for key, value in sorted(totals.items())]


def _walk(
    program: Program,
    name: str,
    times: int,
    trips: tuple[int, ...],
    devices: int,
    totals: dict[tuple[str, int], list[int]],
) -> None:
    for instruction in program.computations.get(name, ()):
        kind = _kind(instruction.opcode)
        if kind is not None:
            group = group_size(instruction.rest, devices)
            if group > 1:
                entry = totals[kind, group]
                entry[0] += times
                entry[1] += times * result_bytes(instruction)
            continue
        inner, unknown = times, trips
        if instruction.opcode == "while":
            known = _TRIPS.search(instruction.rest)
            if known:
                inner *= int(known.group(1))
            elif trips:
                inner, unknown = inner * trips[0], trips[1:]
        for called in instruction.called:
            _walk(program, called, inner, unknown, devices, totals)


def _kind(opcode: str) -> str | None:
    name = opcode.removesuffix("-start")
    return name if name in KINDS else None


def result_bytes(instruction: Instruction) -> int:
    """Bytes of its results; what an asynchronous start names beside them is left out."""
    buffers: list[Buffer] = list(instruction.buffers)
    if instruction.opcode in ("all-gather-start", "collective-permute-start"):
        data = [x for x in buffers if x.shape]  # without contexts
        buffers = data[len(data) // 2 :]  # operands come before results
    return sum(buffer.bytes for buffer in buffers)


def group_size(rest: str, devices: int) -> int:
    """How many devices take part in one group, in any of XLA's three notations."""
    listed, iota, mesh = _LISTED.search(rest), _IOTA.search(rest), _MESH.search(rest)
    if listed:
        return len(listed.group(1).split(","))
    if iota:
        return int(iota.group(2))
    if mesh:
        sizes = dict(re.findall(r"'([^']+)'=(\d+)", mesh.group(1)))
        chosen = re.findall(r"'([^']+)'(?::\(\d+\)(\d+))?", mesh.group(2))
        return math.prod(int(part or sizes[axis]) for axis, part in chosen)
    if "source_target_pairs=" in rest:
        return 2
    return devices
