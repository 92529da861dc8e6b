"""The one place that runs compiled programs, on a mesh of one process or of several.

Programs of a mesh that spans processes must be run by all of them, in one order and with the same
arguments. So everything that touches the mesh's devices goes through a `Device`: its methods take
host arrays and shapes alone, which can be told to others (`ptsys.engine.group_device`).
"""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import PartitionSpec
from numpy.typing import NDArray

from ptsys.engine.compilation import Build, Compiled, CompiledShapes
from ptsys.engine.groups import Shape
from ptsys.engine.operations import OPERATIONS, in_words
from ptsys.engine.parts import Costs
from ptsys.engine.slot_memory import Memory, SlotMemory
from ptsys.kinds.batch import Readings, Rows
from ptsys.kinds.trees import Layout
from ptsys.passes.frozen import Frozen
from ptsys.passes.train import Context, TrainMetrics
from ptsys.sharding.group import spread
from ptsys.sharding.mesh import ROWS, WHOLE, placed, shards_of

Tree = TypeVar("Tree")

_START_CPU, _START = 1e8, 1e10  # FLOPs that a device could do while a program starts
_BOTH_WAYS = 4  # FLOPs of a position forward and back, for each weight that it meets
_READ = 256  # positions whose FLOPs take as long as reading their weights, on an accelerator
_READ_CPU = 16  # on a CPU, whose memory is nearer to its FLOPs (measured, docs/devices.md)


@dataclasses.dataclass(frozen=True)
class Program:
    """A compiled step, and what brings its results to every process, if they lie apart."""

    run: Compiled
    gather: Compiled | None


class Device:
    """Runs the steps of one frozen model, and holds the residents' slots: `capacity` of them or a
    few more for each layout of prompts. Used by one thread."""

    def __init__(self, frozen: Frozen, capacity: int) -> None:
        self.frozen = frozen
        self.shards = shards_of(frozen.mesh)
        self.capacity = capacity
        self.compiled = CompiledShapes(model=_program_of(frozen), describe=in_words)
        whole = placed(frozen.mesh, WHOLE)
        self._apart = whole is not None and not whole.is_fully_addressable
        self._memories: dict[Layout, SlotMemory] = {}

    @property
    def config(self) -> Any:
        """The model's configuration."""
        return self.frozen.config

    @property
    def costs(self) -> Costs:
        """What programs of gradients cost besides their rows."""
        kind, mesh = self.frozen.kind, self.frozen.mesh
        if mesh is not None and mesh.devices.flat[0].platform != "cpu":
            return Costs(_START / kind.flops, _READ)
        read = _READ_CPU * kind.parameters * _BOTH_WAYS / kind.flops
        return Costs(_START_CPU / kind.flops, read, self.frozen.execution.chunk_positions)

    @property
    def lost(self) -> bool:
        """The device is gone, and with it what it held, by no fault of a step."""
        return False

    def memory(self, layout: Layout) -> Memory:
        """The slots for prompts of one layout."""
        return self._memory(layout)

    def builder(self, shape: Shape) -> Build:
        """How to compile a shape, in whatever thread."""
        operation = OPERATIONS[shape.group.operation]
        memory = self._memory(shape.group.prompt) if operation.stays else None

        def build() -> Any:
            step = operation.lower(self.frozen, shape, memory)
            run = step.compile()
            gather = self._gatherer(step, run, operation.stays) if self._apart else None
            return Program(run, gather)

        return build

    def answer(self, shape: Shape, readings: Readings, rows: Rows) -> Any:
        """Start a step of calls; its result is there when it can be `read`."""
        program = self._program(shape)
        where = ROWS if OPERATIONS[shape.group.operation].apart else WHOLE
        result = program.run(self.frozen, self._laid(readings, where), self._laid(rows, ROWS))
        return result if program.gather is None else program.gather(result)

    def train(
        self, shape: Shape, residents: NDArray[np.int32], rows: Rows, context: Context
    ) -> TrainMetrics:
        """Start a step of residents; its metrics are there when they can be `read`."""
        program, memory = self._program(shape), self._memory(shape.group.prompt)
        memory.state, metrics = program.run(
            self.frozen,
            memory.state,
            memory.hyper,
            self._laid(residents, ROWS),
            self._laid(rows, ROWS),
            self._laid(context, ROWS),
        )
        whole: TrainMetrics = metrics if program.gather is None else program.gather(metrics)
        return whole

    def read(self, result: Tree) -> Tree:
        """Wait for a result and copy it to the host; raises what went wrong on the device."""
        read: Tree = jax.tree.map(np.asarray, result)
        return read

    def close(self) -> None:
        """Drop what has not begun to compile."""
        self.compiled.close()

    def _program(self, shape: Shape) -> Program:
        program: Any = self.compiled.get(shape, self.builder(shape))
        return program  # type: ignore[no-any-return]

    def _memory(self, layout: Layout) -> SlotMemory:
        if layout not in self._memories:
            self._memories[layout] = SlotMemory(self.capacity, layout, self.frozen.mesh)
        return self._memories[layout]

    def _laid(self, tree: Tree, spec: PartitionSpec) -> Tree:
        """Arguments where the program wants them; within one process it puts them there itself."""
        if not self._apart:
            return tree
        laid: Tree = spread(tree, placed(self.frozen.mesh, spec))
        return laid

    def _gatherer(self, step: Any, run: Any, stays: bool) -> Compiled:
        """The program that gives every process the whole of a step's result."""
        told, where = step.out_info, run.output_shardings
        if stays:  # the slots stay where they are
            told, where = told[1], where[1]
        results = jax.tree.map(
            lambda x, sharding: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
            told,
            where,
        )
        gather = jax.jit(lambda x: x, out_shardings=placed(self.frozen.mesh, WHOLE))
        compiled: Compiled = gather.lower(results).compile()
        return compiled


def _program_of(frozen: Frozen) -> str:
    """Equal for models that are compiled to equal programs."""
    told = f"{frozen.config} {frozen.execution} {frozen.mesh and dict(frozen.mesh.shape)}"
    return hashlib.sha256(told.encode()).hexdigest()[:12]
