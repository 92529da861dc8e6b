"""A device of several processes: the leader tells what it runs, and the others run the same.

What is told are host arrays and shapes, whose sizes the buckets bound. Every process then puts its
own parts of the arrays onto its devices and runs the same program; results come back whole to all.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Iterator
from typing import Any, TypeVar

import jax
import numpy as np
from numpy.typing import NDArray

from ptsys.engine.calls import Generator
from ptsys.engine.compilation import Build
from ptsys.engine.device import Device
from ptsys.engine.groups import Shape
from ptsys.engine.operations import OPERATIONS
from ptsys.engine.slot_memory import (
    Memory,
    Read,
    SlotArrays,
    SlotValues,
    hyper_shapes,
    values_shapes,
)
from ptsys.errors import Unavailable
from ptsys.kinds.batch import Readings, Rows
from ptsys.kinds.trees import Layout
from ptsys.passes.frozen import Frozen
from ptsys.passes.train import Context, Hyper, TrainMetrics
from ptsys.sharding.following import Command, Leader
from ptsys.sharding.leading import Followers

logger = logging.getLogger(__name__)

_COMPILE_SECONDS = 3600.0

Tree = TypeVar("Tree")


class LeadingDevice(Device):
    """Process 0's: tells the others, then does the same."""

    def __init__(self, frozen: Frozen, capacity: int, followers: Followers) -> None:
        super().__init__(frozen, capacity)
        self._followers = followers

    @property
    def lost(self) -> bool:
        """A process of the group is gone."""
        loss = self._followers.loss
        return loss is not None and not loss.fault

    def memory(self, layout: Layout) -> Memory:
        """Slots that lie with all processes."""
        return _SharedMemory(self, layout)

    def builder(self, shape: Shape) -> Build:
        """A shape is compiled when all have compiled it."""
        own = super().builder(shape)

        def build() -> Any:
            number = self._followers.tell("compile", shape.plain())
            program = own()
            self._followers.wait_compiled(number, _COMPILE_SECONDS)
            return program

        return build

    def answer(
        self, shape: Shape, readings: Readings, rows: Rows, generator: Generator | None = None
    ) -> Any:
        """See `Device`."""
        self._program(shape)
        told = shape
        if generator is not None:
            self.keep(generator)
            told = shape._replace(group=shape.group._replace(generator=generator.key))
        with self.together("answer", told.plain(), (readings, rows)):
            return super().answer(shape, readings, rows, generator)

    def keep(self, generator: Generator) -> Frozen:
        """Keep a generator in all processes, which are told its parameters but once."""
        if generator.key in self._generators:
            return super().keep(generator)
        paths = sorted(generator.arrays)
        arrays = [generator.arrays[path] for path in paths]
        with self.together("keep", [generator.key, paths], arrays):
            return super().keep(generator)

    def train(
        self, shape: Shape, residents: NDArray[np.int32], rows: Rows, context: Context
    ) -> TrainMetrics:
        """See `Device`."""
        self._program(shape)
        with self.together("train", shape.plain(), (residents, rows, context)):
            return super().train(shape, residents, rows, context)

    def read(self, result: Tree) -> Tree:
        """See `Device`. Raises Unavailable when a process is lost."""
        with self._minding():
            return super().read(result)

    def encoder(self) -> dict[str, NDArray[np.float32]]:
        """See `Device`."""
        with self.together("encoder", [], ()):
            return super().encoder()

    def put_own(
        self, layout: Layout, address: NDArray[np.int32], values: SlotValues, hyper: Hyper
    ) -> None:
        """Fill a slot in all processes."""
        with self.together("put", list(layout), (address, values, hyper)):
            self._memory(layout).put(address, values, hyper)

    def get_own(self, layout: Layout, address: NDArray[np.int32]) -> Read:
        """Copy a slot, which all processes take part in."""
        with self.together("get", list(layout), (address,)):
            read = self._memory(layout).get(address)

        def minded() -> SlotArrays:
            with self._minding():
                return read()

        return minded

    @contextlib.contextmanager
    def together(self, do: str, key: list[Any], arguments: Any) -> Iterator[None]:
        """Tell the others, and then do it here. If it fails here after it was told, the processes
        no longer agree and the group ends."""
        self._followers.tell(do, key, [np.asarray(x) for x in jax.tree.leaves(arguments)])
        with self._minding():
            yield

    @contextlib.contextmanager
    def _minding(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            loss = self._followers.failed_here(f"{type(error).__name__}: {error}")
            if loss.fault:
                raise
            raise Unavailable(loss.message) from error


class _SharedMemory:
    """The slots of one layout, of all processes."""

    def __init__(self, device: LeadingDevice, layout: Layout) -> None:
        own = Device.memory(device, layout)
        self.shards, self.per_shard = own.shards, own.per_shard
        self._device, self._layout = device, layout

    def put(self, address: NDArray[np.int32], values: SlotValues, hyper: Hyper) -> None:
        self._device.put_own(self._layout, address, values, hyper)

    def get(self, address: NDArray[np.int32]) -> Read:
        return self._device.get_own(self._layout, address)


def follow(device: Device, leader: Leader) -> None:
    """Do what the leader does, for ever. Raises what goes wrong here, after telling of it."""
    waiting: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()

    def tell_done() -> None:
        """On a thread of its own, so that a step can be started while another runs."""
        while True:
            number, result = waiting.get()
            try:
                jax.block_until_ready(result)
            except Exception as error:
                leader.failed(_short(error))
                return
            leader.done(number)

    threading.Thread(target=tell_done, name="group-done", daemon=True).start()
    for command in leader.commands():
        try:
            result = _obey(device, leader, command)
        except Exception as error:
            leader.failed(_short(error))
            raise
        if command.do != "compile":
            waiting.put((command.number, result))


def _obey(device: Device, leader: Leader, command: Command) -> Any:
    """Run one command; what it started."""
    if command.do in ("put", "get"):
        layout = Layout.of(command.key)
        like: tuple[Any, ...] = (0,)
        if command.do == "put":
            like = (0, values_shapes(layout), hyper_shapes(layout))
        memory = device.memory(layout)
        run = memory.put if command.do == "put" else memory.get
        run(*_arguments(like, command))
        return ()
    if command.do == "encoder":
        device.encoder()
        return ()
    if command.do == "keep":
        key, paths = command.key
        return device.keep(Generator(key, dict(zip(paths, command.arrays, strict=True)))).leaves
    shape = Shape.of(command.key)
    generator = shape.group.generator
    shape = shape._replace(group=shape.group.program)
    if command.do == "compile":
        _compile(device, leader, shape, command.number)
        return ()
    like = OPERATIONS[shape.group.operation].arguments(device.frozen, shape)
    arguments = _arguments(like, command)
    if command.do == "train":
        return device.train(shape, *arguments)
    readings, rows = arguments
    return device.answer(shape, readings, rows, Generator(generator, {}) if generator else None)


def _arguments(like: Any, command: Command) -> Any:
    """What belongs to a command: a tree like this one, whose leaves are the arrays it came with."""
    return jax.tree.unflatten(jax.tree.structure(like), command.arrays)


def _compile(device: Device, leader: Leader, shape: Shape, number: int) -> None:
    future = device.compiled.ahead(shape, device.builder(shape))

    def tell(done: Any) -> None:
        error = None if done.cancelled() else done.exception()
        leader.compiled(number, None if error is None else _short(error))

    future.add_done_callback(tell)


def _short(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:500]
