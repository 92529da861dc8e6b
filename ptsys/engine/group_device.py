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

from ptsys.engine.compilation import Build
from ptsys.engine.device import Device
from ptsys.engine.groups import Group, Shape
from ptsys.engine.slot_memory import Memory, Read, SlotArrays, SlotValues
from ptsys.errors import Unavailable
from ptsys.kinds.batch import Prompts, Rows
from ptsys.models.t5.decoding import Choices
from ptsys.passes.frozen import Frozen
from ptsys.passes.optimizers import Hyperparameters
from ptsys.passes.train import TrainMetrics
from ptsys.sharding.following import Command, Leader
from ptsys.sharding.leading import Followers

logger = logging.getLogger(__name__)

_COMPILE_SECONDS = 3600.0

Tree = TypeVar("Tree")

_PROMPTS, _ROWS = Prompts(0, 0), Rows(0, 0, 0)  # type: ignore[arg-type]
_ARGUMENTS: dict[str, Any] = {
    "answer": (_PROMPTS, _ROWS),
    "generate": (_PROMPTS, _ROWS, Choices(0, 0, 0, 0, 0)),  # type: ignore[arg-type]
    "train": (0, _ROWS),
    "put": (0, SlotValues(SlotArrays(0, 0, 0), 0, 0), Hyperparameters(*range(10))),  # type: ignore[arg-type]
    "get": (0,),
    "compile": (),
}
"""What belongs to a command, as a tree whose leaves are the arrays that are sent."""


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

    def memory(self, width: int) -> Memory:
        """Slots that lie with all processes."""
        return _SharedMemory(self, width)

    def builder(self, shape: Shape) -> Build:
        """A shape is compiled when all have compiled it."""
        own = super().builder(shape)

        def build() -> Any:
            number = self._followers.tell("compile", _key(shape))
            program = own()
            self._followers.wait_compiled(number, _COMPILE_SECONDS)
            return program

        return build

    def answer(
        self, shape: Shape, prompts: Prompts, rows: Rows, choices: Choices | None = None
    ) -> Any:
        """See `Device`."""
        self._program(shape)
        arguments = (prompts, rows) if choices is None else (prompts, rows, choices)
        with self.together("answer" if choices is None else "generate", _key(shape), arguments):
            return super().answer(shape, prompts, rows, choices)

    def train(self, shape: Shape, residents: NDArray[np.int32], rows: Rows) -> TrainMetrics:
        """See `Device`."""
        self._program(shape)
        with self.together("train", _key(shape), (residents, rows)):
            return super().train(shape, residents, rows)

    def read(self, result: Tree) -> Tree:
        """See `Device`. Raises Unavailable when a process is lost."""
        with self._minding():
            return super().read(result)

    def put_own(
        self, width: int, address: NDArray[np.int32], values: SlotValues, hyper: Hyperparameters
    ) -> None:
        """Fill a slot in all processes."""
        with self.together("put", [width], (address, values, hyper)):
            self._memory(width).put(address, values, hyper)

    def get_own(self, width: int, address: NDArray[np.int32]) -> Read:
        """Copy a slot, which all processes take part in."""
        with self.together("get", [width], (address,)):
            read = self._memory(width).get(address)

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
    """The slots of one width, of all processes."""

    def __init__(self, device: LeadingDevice, width: int) -> None:
        own = Device.memory(device, width)
        self.shards, self.per_shard = own.shards, own.per_shard
        self._device, self._width = device, width

    def put(self, address: NDArray[np.int32], values: SlotValues, hyper: Hyperparameters) -> None:
        self._device.put_own(self._width, address, values, hyper)

    def get(self, address: NDArray[np.int32]) -> Read:
        return self._device.get_own(self._width, address)


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
    structure = jax.tree.structure(_ARGUMENTS[command.do])
    arguments = jax.tree.unflatten(structure, command.arrays)
    if command.do == "put":
        device.memory(command.key[0]).put(*arguments)
        return ()
    if command.do == "get":
        device.memory(command.key[0]).get(*arguments)
        return ()
    shape = _shape(command.key)
    if command.do == "compile":
        _compile(device, leader, shape, command.number)
        return ()
    run = device.train if command.do == "train" else device.answer
    return run(shape, *arguments)


def _compile(device: Device, leader: Leader, shape: Shape, number: int) -> None:
    future = device.compiled.ahead(shape, device.builder(shape))

    def tell(done: Any) -> None:
        error = None if done.cancelled() else done.exception()
        leader.compiled(number, None if error is None else _short(error))

    future.add_done_callback(tell)


def _key(shape: Shape) -> list[Any]:
    return [*shape.group, shape.slots, shape.rows]


def _shape(key: list[Any]) -> Shape:
    *group, slots, rows = key
    return Shape(Group(*group), slots, rows)


def _short(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:500]
