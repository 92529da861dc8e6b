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

from ptsys.engine.calls import Generator
from ptsys.engine.compilation import Build, Compiled, CompiledShapes
from ptsys.engine.groups import Shape
from ptsys.engine.operations import OPERATIONS, in_words
from ptsys.engine.parts import Costs
from ptsys.engine.slot_memory import Memory, SlotMemory
from ptsys.kinds.batch import Readings, Rows
from ptsys.kinds.trees import Layout, Tree
from ptsys.models.t5.generator import encoder_arrays
from ptsys.models.t5.generator import generator as generator_of
from ptsys.passes.frozen import Frozen
from ptsys.passes.train import Context, TrainMetrics
from ptsys.sharding.group import spread
from ptsys.sharding.mesh import ROWS, WHOLE, placed, shards_of

Read = TypeVar("Read")

GENERATORS = 2
"""Generators beside the frozen model's encoder that stay on the device, those used last."""

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
        self._generators: dict[str, Frozen] = {}

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

    def answer(
        self, shape: Shape, readings: Readings, rows: Rows, generator: Generator | None = None
    ) -> Any:
        """Start a step of calls; its result is there when it can be `read`. Those that are to be
        read by a `generator` are all read by this one."""
        frozen = self.frozen if generator is None else self.keep(generator)
        program = self._program(shape)
        where = ROWS if OPERATIONS[shape.group.operation].apart else WHOLE
        result = program.run(frozen, self._laid(readings, where), self._laid(rows, ROWS))
        return result if program.gather is None else program.gather(result)

    def encoder(self) -> Tree:
        """A generator on the host that is equal to the frozen model's encoder."""
        whole = placed(self.frozen.mesh, WHOLE)
        found = {}
        for path, array in encoder_arrays(self.frozen.model()).items():
            if self._apart:
                array = jax.jit(lambda x: x, out_shardings=whole)(array)
            found[path] = np.array(array)
        return generator_of(found)

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

    def read(self, result: Read) -> Read:
        """Wait for a result and copy it to the host; raises what went wrong on the device."""
        read: Read = jax.tree.map(np.asarray, result)
        return read

    def close(self) -> None:
        """Drop what has not begun to compile."""
        self.compiled.close()

    def keep(self, generator: Generator) -> Frozen:
        """The frozen model with a generator for its encoder. Those used last stay on the device."""
        kept = self._generators.pop(generator.key, None)
        if kept is None:
            while len(self._generators) >= GENERATORS:
                del self._generators[next(iter(self._generators))]
            kept = self.frozen.with_encoder(generator.arrays)
        self._generators[generator.key] = kept
        return kept

    def _program(self, shape: Shape) -> Program:
        program: Any = self.compiled.get(shape, self.builder(shape))
        return program  # type: ignore[no-any-return]

    def _memory(self, layout: Layout) -> SlotMemory:
        if layout not in self._memories:
            lies = self.frozen.structure.lies
            self._memories[layout] = SlotMemory(self.capacity, layout, self.frozen.mesh, lies)
        return self._memories[layout]

    def _laid(self, tree: Read, spec: PartitionSpec) -> Read:
        """Arguments where the program wants them; within one process it puts them there itself."""
        if not self._apart:
            return tree
        laid: Read = spread(tree, placed(self.frozen.mesh, spec))
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
