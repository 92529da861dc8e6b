"""Which temporaries a compiled program holds when it holds most.

libtpu's memory analysis gives one number. The scheduled program's text tells more: every array in
HBM lives from the instruction that makes it to the last one that reads it, through tuples, loops
and bitcasts that only rename it. This is a reading, not the allocator's own account: what it
finds beside the number is told as `share`.
"""

from __future__ import annotations

import collections
import dataclasses
import re
from typing import Any

from ptsys.plan.hlo import Buffer, Instruction, Program

_RENAMES = {"bitcast", "get-tuple-element", "tuple", "while", "optimization-barrier", "conditional"}
_NOTHING = {"parameter", "constant", "after-all", "partition-id", "replica-id", "iota"}
_IN_PLACE = {"dynamic-update-slice"}
_LOOPS = {"while", "conditional", "call"}


@dataclasses.dataclass(frozen=True)
class Held:
    """Arrays of one shape from one place in the code; `bytes` is of all `count` of them."""

    bytes: int
    count: int
    shape: str
    source: str


@dataclasses.dataclass(frozen=True)
class _Made:
    """An array in HBM and who made it."""

    buffer: Buffer
    by: Instruction


@dataclasses.dataclass(frozen=True)
class _Peak:
    bytes: int
    held: tuple[_Made, ...]


def held_at_peak(program: Program) -> tuple[int, list[Held]]:
    """Bytes of temporaries at the fullest moment, and what they are, largest first."""
    peak = _peak(program, program.entry, {})
    grouped: dict[tuple[str, str], list[int]] = collections.defaultdict(list)
    for made in peak.held:
        grouped[str(made.buffer), _place(made.by.source)].append(made.buffer.padded_bytes)
    held = [Held(sum(x), len(x), shape, source) for (shape, source), x in grouped.items()]
    return peak.bytes, sorted(held, key=lambda x: -x.bytes)


def _peak(program: Program, name: str, known: dict[str, _Peak]) -> _Peak:
    """The fullest moment of one computation; its own parameters belong to the caller."""
    if name in known:
        return known[name]
    instructions = program.computations.get(name, [])
    owned, last = _lifetimes(program, instructions)
    ends: dict[int, list[int]] = collections.defaultdict(list)
    for number, position in last.items():
        ends[position].append(number)
    live: dict[int, _Made] = {}
    total, best = 0, _Peak(0, ())
    for i, instruction in enumerate(instructions):
        if i in owned:
            for number, made in owned[i]:
                live[number] = made
                total += made.buffer.padded_bytes
        inner = _Peak(0, ())
        if instruction.opcode in _LOOPS:
            inner = max(
                (_peak(program, called, known) for called in instruction.called),
                key=lambda x: x.bytes,
                default=inner,
            )
        if total + inner.bytes > best.bytes:
            best = _Peak(total + inner.bytes, (*live.values(), *inner.held))
        for number in ends.get(i, ()):
            gone = live.pop(number, None)
            total -= gone.buffer.padded_bytes if gone else 0
    known[name] = best
    return best


def _lifetimes(
    program: Program, instructions: list[Instruction]
) -> tuple[dict[int, list[tuple[int, _Made]]], dict[int, int]]:
    """Arrays by the position that makes them, numbered, and the position of each one's last use."""
    refers: dict[str, Any] = {}  # a name's arrays: a list for each leaf of its result
    owned: dict[int, list[tuple[int, _Made]]] = {}
    last: dict[int, int] = {}
    count = 0
    for i, instruction in enumerate(instructions):
        for operand in instruction.operands:
            for number in _flat(refers.get(operand, ())):
                last[number] = i
        opcode = instruction.opcode
        if opcode in _NOTHING:
            refers[instruction.name] = [() for _ in instruction.buffers]
        elif opcode in _RENAMES or opcode.endswith("-done") or _in_place(program, instruction):
            refers[instruction.name] = _renamed(instruction, refers)
        else:
            made = []
            leaves: list[tuple[int, ...]] = []
            for buffer, source in zip(
                instruction.buffers, _sources(instruction, refers), strict=True
            ):
                if source is not None:
                    leaves.append(source)
                elif buffer.space == 0:
                    made.append((count, _Made(buffer, instruction)))
                    last[count] = len(instructions) - 1 if instruction.root else i
                    leaves.append((count,))
                    count += 1
                else:
                    leaves.append(())
            owned[i] = made
            refers[instruction.name] = leaves
        if instruction.root:
            for number in _flat(refers[instruction.name]):
                last[number] = len(instructions)
    return owned, last


def _sources(instruction: Instruction, refers: dict[str, Any]) -> list[tuple[int, ...] | None]:
    """For each leaf of an asynchronous start the operand's arrays if it only names them, so that
    they live until the end; a copy names its source after its result, others before."""
    count = len(instruction.buffers)
    sources: list[tuple[int, ...] | None] = [None] * count
    if not instruction.opcode.endswith("-start") or instruction.opcode == "all-reduce-start":
        return sources
    given = [leaf for name in instruction.operands for leaf in refers.get(name, ())]
    first = 1 if instruction.opcode == "copy-start" else 0
    for offset, leaf in enumerate(given):
        if first + offset < count:
            sources[first + offset] = tuple(_flat(leaf))
    return sources


def _renamed(instruction: Instruction, refers: dict[str, Any]) -> list[tuple[int, ...]]:
    operands = [refers.get(name, ()) for name in instruction.operands]
    if instruction.opcode == "get-tuple-element" and operands:
        index = re.search(r"index=(\d+)", instruction.rest)
        leaves = operands[0]
        at = int(index.group(1)) if index else 0
        if len(leaves) > at and len(instruction.buffers) == 1:
            return [leaves[at]]
    if instruction.opcode in ("tuple", "while", "optimization-barrier"):
        return [leaf for operand in operands for leaf in operand]
    return [tuple(_flat(operand for operand in operands))] * max(len(instruction.buffers), 1)


def _in_place(program: Program, instruction: Instruction) -> bool:
    """Whether the result overwrites an operand."""
    if instruction.opcode in _IN_PLACE or "output_to_operand_aliasing" in instruction.rest:
        return True
    if instruction.opcode != "fusion":
        return False
    return any(
        inner.root and inner.opcode in _IN_PLACE
        for called in instruction.called
        for inner in program.computations.get(called, ())
    )


def _flat(nested: Any) -> list[int]:
    found: list[int] = []
    for part in nested:
        found += _flat(part) if isinstance(part, list | tuple) else [part]
    return found


def _place(source: str) -> str:
    """The operation's path without what every path has."""
    return re.sub(r"^(while/body/|closed_call/|checkpoint/|cond/)+", "", source)
