"""A compiled program's text, read into computations and instructions.

Only what the plan asks for is read: names, result arrays, operands, called computations. The
grammar is that of XLA's `HloModule::ToString` with layouts, tiles and memory spaces.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Iterator

_ELEMENT_BITS = {
    "pred": 8, "s2": 2, "u2": 2, "s4": 4, "u4": 4, "s8": 8, "u8": 8, "s16": 16, "u16": 16,
    "s32": 32, "u32": 32, "s64": 64, "u64": 64, "bf16": 16, "f16": 16, "f32": 32, "f64": 64,
    "c64": 64, "c128": 128, "f8e4m3fn": 8, "f8e5m2": 8, "token": 0, "opaque": 0,
}  # fmt: skip
_ARRAY = re.compile(r"\b([a-z]\w*)\[([\d,<=\s]*)\](?:\{([^{}]*)\})?")
_INSTRUCTION = re.compile(r"^\s*(ROOT )?%?([\w.\-]+) = (.*)$")
_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) .*\{\s*$")
_CALLED = re.compile(
    r"(?:calls|to_apply|body|condition|true_computation|false_computation)=%?([\w.\-]+)"
)
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
_TILE = re.compile(r"T\(([\d,]+)\)")
_SPACE = re.compile(r"S\((\d+)\)")


@dataclasses.dataclass(frozen=True)
class Buffer:
    """One array: element type, dimensions, layout as XLA writes it."""

    kind: str
    shape: tuple[int, ...]
    layout: str

    @property
    def bytes(self) -> int:
        """Size of its elements, without padding."""
        return math.prod(self.shape) * _ELEMENT_BITS.get(self.kind, 32) // 8

    @property
    def padded_bytes(self) -> int:
        """Size in the device's tiles, which round the minor dimensions up."""
        order, _, tiling = self.layout.partition(":")
        tile = _TILE.search(tiling)
        if not tile or not self.shape:
            return self.bytes
        minor = [int(x) for x in order.split(",") if x]
        sizes = [self.shape[i] for i in reversed(minor)]
        tiles = [int(x) for x in tile.group(1).split(",")]
        for back, size in enumerate(reversed(tiles), start=1):
            if back <= len(sizes):
                sizes[-back] = -(-sizes[-back] // size) * size
        return math.prod(sizes) * _ELEMENT_BITS.get(self.kind, 32) // 8

    @property
    def space(self) -> int:
        """The memory it lies in: 0 is HBM, 1 the chip's own."""
        match = _SPACE.search(self.layout)
        return int(match.group(1)) if match else 0

    def __str__(self) -> str:
        return f"{self.kind}[{','.join(map(str, self.shape))}]"


@dataclasses.dataclass(frozen=True)
class Instruction:
    """`%name = result opcode(operands), rest`."""

    name: str
    root: bool
    result: str
    opcode: str
    operands: tuple[str, ...]
    rest: str

    @functools.cached_property
    def buffers(self) -> tuple[Buffer, ...]:
        """The arrays of its result, those of a tuple one after another."""
        return tuple(_buffers(self.result))

    @functools.cached_property
    def called(self) -> tuple[str, ...]:
        """Computations it runs, each once."""
        names = _CALLED.findall(self.rest)
        for branches in _BRANCHES.findall(self.rest):
            names += [name.strip().lstrip("%") for name in branches.split(",")]
        return tuple(dict.fromkeys(names))

    @property
    def source(self) -> str:
        """The path of JAX's operation it stems from, without the jitted function's name."""
        match = re.search(r'op_name="([^"]*)"', self.rest)
        return match.group(1).partition("/")[2] if match else ""


@dataclasses.dataclass(frozen=True)
class Program:
    """Computations by name, in the order of their instructions' schedule."""

    computations: dict[str, list[Instruction]]
    entry: str


def parse(text: str) -> Program:
    """Read a compiled program's text (`jax.stages.Compiled.as_text()`)."""
    computations: dict[str, list[Instruction]] = {}
    entry, current = "", None
    for line in text.splitlines():
        if current is None:
            opened = _COMPUTATION.match(line)
            if opened:
                current = computations.setdefault(opened.group(2), [])
                entry = opened.group(2) if opened.group(1) else entry
        elif line.startswith("}"):
            current = None
        else:
            made = _instruction(line)
            if made is not None:
                current.append(made)
    return Program(computations, entry)


def _instruction(line: str) -> Instruction | None:
    match = _INSTRUCTION.match(line)
    if not match:
        return None
    root, name, rest = match.groups()
    end = _closing(rest, 0) if rest.startswith("(") else rest.index(" ")
    result, rest = rest[:end].strip(), rest[end:].strip()
    opcode, _, tail = rest.partition("(")
    close = _closing("(" + tail, 0)
    operands = re.findall(r"%([\w.\-]+)", tail[: close - 1])
    return Instruction(name, bool(root), result, opcode, tuple(operands), tail[close:])


def _closing(text: str, start: int) -> int:
    """Just after the bracket that closes the one at `start`."""
    depth = 0
    for i in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[i], 0)
        if depth == 0:
            return i + 1
    return len(text)


def _buffers(result: str) -> Iterator[Buffer]:
    for kind, shape, layout in _ARRAY.findall(re.sub(r"/\*.*?\*/", "", result)):
        if kind in _ELEMENT_BITS:
            sizes = tuple(int(x.strip("<= ")) for x in shape.split(",") if x.strip())
            yield Buffer(kind, sizes, layout)
