"""Which compiled shape a step runs in: the one that fits if it is ready, else another meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ptsys.engine.device import Device
from ptsys.engine.groups import Group, Shape
from ptsys.engine.operations import OPERATIONS
from ptsys.engine.scheduler import Limits, Waiting
from ptsys.kinds.buckets import ROWS, SLOTS, fit
from ptsys.types.compiling import Compiling


class Shapes:
    """Chooses among the compiled shapes of one engine; used on the device thread.

    `wake` is called from another thread whenever a shape becomes ready.
    """

    def __init__(self, device: Device, max_rows: int, wake: Callable[[], None]) -> None:
        self._device = device
        self._shards = device.shards
        self._costs = device.costs
        self._max_rows = max_rows
        self._wake = wake
        self._compiled = device.compiled

    def limits(self, group: Group, waiting: Waiting) -> Limits | None:
        """What a step of `group` can take now, of what waits: None while nothing is compiled."""
        wanted = self._wanted(group, waiting)
        if self._compiled.ready(wanted):
            return self._room(wanted)
        self.ahead([wanted])
        smaller = [
            shape
            for shape in self._ready(group)
            if shape.slots <= wanted.slots and shape.rows <= wanted.rows
        ]
        if not smaller:
            return None
        return self._room(max(smaller, key=lambda shape: (shape.rows, shape.slots)))

    def fitting(self, group: Group, slots: int, rows: int) -> Shape:
        """The smallest compiled shape with as many slots and rows a shard; one that is not
        compiled only if there is none."""
        exact = _smallest(group, slots, rows)
        if not self._compiled.ready(exact):
            larger = [
                shape
                for shape in self._ready(group)
                if shape.slots >= exact.slots and shape.rows >= exact.rows
            ]
            if larger:
                exact = min(larger, key=lambda shape: (shape.rows, shape.slots))
        return exact

    def ahead(self, shapes: Sequence[Shape]) -> None:
        """Ask for shapes before they are needed."""
        for shape in shapes:
            self._compiled.on_ready(shape, self._device.builder(shape), self._wake)

    @property
    def under_way(self) -> int:
        """How many shapes are being compiled, or wait for it; from any thread."""
        return self._compiled.under_way

    def now(self) -> list[Compiling]:
        """The shapes that are being compiled; from any thread."""
        return self._compiled.now()

    def _wanted(self, group: Group, waiting: Waiting) -> Shape:
        """The shape for what waits. Requests spread evenly over the shards, but one of gradients
        lies on one of them whole; residents lie where their slots do, at worst all on one."""
        operation = OPERATIONS[group.operation]
        rows = min(waiting.rows, self._max_rows // group.copies)
        items = min(waiting.items, rows, SLOTS[-1])  # an item has a row at least
        if operation.stays:
            return _smallest(group, items, rows)
        rows = -(-rows // self._shards)
        if operation.apart:
            at_once = self._costs.at_once(rows, group.positions)
            rows = max(at_once, waiting.largest)
            items = min(-(-items // self._shards), rows)
        return _smallest(group, items, rows)

    def _room(self, shape: Shape) -> Limits:
        """What surely fits."""
        operation = OPERATIONS[shape.group.operation]
        spread = operation.apart and not operation.stays
        return Limits(
            items=shape.slots * (self._shards if spread else 1),
            rows=shape.rows * (1 if operation.stays else self._shards),
        )

    def _ready(self, group: Group) -> list[Shape]:
        return [
            shape
            for shape in self._compiled.keys_ready()
            if isinstance(shape, Shape) and shape.group == group.program
        ]


def _smallest(group: Group, slots: int, rows: int) -> Shape:
    return Shape(group.program, fit(slots, SLOTS, "prompts"), fit(rows, ROWS, "rows"))
