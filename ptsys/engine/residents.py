"""The residents of an engine: joining, stepping together, evaluating and leaving.

All methods run on the device thread, except what is handed to the finishing thread.
"""

from __future__ import annotations

import collections
import dataclasses
import math
import traceback
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptsys.data.order import BatchOrder
from ptsys.engine.device import Device
from ptsys.engine.evaluation import Evaluate, Evaluation
from ptsys.engine.groups import Group
from ptsys.engine.loop import DeviceLoop, Dispatched
from ptsys.engine.scheduler import FairQueue, Item, Step
from ptsys.engine.shapes import Shapes
from ptsys.engine.slots import PendingSnapshot, Slots
from ptsys.engine.training_batch import Resident, training_batch
from ptsys.engine.trainings import (
    Checkpointed,
    Failed,
    Progress,
    Stopped,
    Training,
)
from ptsys.errors import Unavailable
from ptsys.kinds.model_kind import RowCoder
from ptsys.kinds.prompt_kind import optimizers_of
from ptsys.kinds.registry import prompt_kind
from ptsys.kinds.trees import Layout, shapes_of, stacked
from ptsys.passes.train import TrainMetrics

SPARSE = 0.75  # of the padded positions: residents whose rows fill less have them packed


@dataclasses.dataclass(frozen=True)
class Stepped:
    """What the finishing thread does for a resident after a step."""

    training: Training
    step: int
    snapshot: PendingSnapshot | None
    checkpoint: bool
    evaluate: bool
    last: bool


class Residents:
    """All residents of one engine, and those that wait for a slot."""

    def __init__(
        self,
        device: Device,
        shapes: Shapes,
        loop: DeviceLoop,
        coder: RowCoder,
        evaluate: Evaluate,
        capacity: int,
    ) -> None:
        self._device = device
        self._shapes = shapes
        self._loop = loop
        self._queue: FairQueue[Any] = loop.scheduler.training
        self._coder = coder
        self._evaluation = Evaluation(evaluate, self._ended)
        self._capacity = capacity
        self._active: dict[str, Resident] = {}
        self._waiting: collections.OrderedDict[str, Training] = collections.OrderedDict()
        self._slots: dict[Layout, Slots] = {}

    @property
    def empty(self) -> bool:
        """Nobody trains or waits."""
        return not self._active and not self._waiting

    def slots(self, layout: Layout) -> Slots:
        """The slots for prompts of one layout."""
        if layout not in self._slots:
            self._slots[layout] = Slots(layout, self._device.memory(layout))
        return self._slots[layout]

    # ---- joining and leaving ----------------------------------------------------------------

    def join(self, training: Training) -> None:
        """Take a job in, or let it wait for a slot."""
        task = training.task
        if task.start.step >= task.spec.steps:  # restored after its last step
            self._loop.finish_later(lambda: self._evaluation.begin(training, task.start, last=True))
            return
        try:
            layout = task.layout or prompt_kind(task.kind).layout(shapes_of(task.start.values))
            if not self._has_room(layout):
                self._waiting[task.id] = training
                return
            resident = self._admit(training, layout)
            optimizers = optimizers_of(task.start.values, prompt_kind(task.kind), task.spec)
            slots = self.slots(resident.group.prompt)
            resident.slot = slots.take(task.start, optimizers, task.spec.steps, resident.group)
        except Exception as error:
            if not self._device.lost:  # then the engine tells all
                trace = "".join(traceback.format_exception(error))
                training.put(Failed(str(error), trace, retry=isinstance(error, Unavailable)))
            return
        self._active[task.id] = resident
        self._queue.add(Item(task.id, task.user, resident.group, resident.rows))

    def _has_room(self, layout: Layout) -> bool:
        """Whether there is a slot for a prompt of this layout."""
        return len(self._active) < self._capacity and self.slots(layout).free > 0

    def _admit(self, training: Training, layout: Layout) -> Resident:
        task, data = training.task, training.task.examples
        rows = len(data)
        plain = Group("train", layout, self._coder.layout(data.longest))
        sparse = self._coder.mean_positions(data) + plain.prompt.positions
        packed = self._coder.packs(plain.rows) and sparse < SPARSE * plain.positions
        group = plain._replace(options=(("packed", packed),))
        return Resident(
            training=training,
            group=group,
            slot=-1,
            step=task.start.step,
            order=task.order or BatchOrder(rows, task.spec.batch_size, task.spec.seed),
            features={x.name: stacked(data.features[x.name], x) for x in group.rows},
        )

    def leave(self, key: str) -> None:
        """Stop a job between steps; its snapshot loses none of them."""
        waiting = self._waiting.pop(key, None)
        if waiting is not None:
            waiting.put(Stopped(waiting.task.start))
            return
        resident = self._active.get(key)
        if resident is not None and not self._device.lost:
            training, pending = resident.training, self._read(resident)
            self._remove(key)
            self._loop.finish_later(lambda: training.put(Stopped(pending.read())))

    def stop_all(self) -> None:
        """Stop everyone (drain)."""
        for key in [*self._waiting, *self._active]:
            self.leave(key)

    def blame(self, key: str, error: Exception, trace: str) -> None:
        """A resident's step failed."""
        self.fail(key, Failed(str(error), trace, retry=True))

    def fail(self, key: str, failure: Failed) -> None:
        """A resident leaves by a failure."""
        resident = self._active.get(key)
        if resident is not None:
            self._remove(key)
            resident.training.put(failure)

    def lost(self, key: str, error: Exception) -> None:
        """A resident's step failed and the device with it: nothing is done there any more."""
        resident = self._active.get(key)
        if resident is not None:
            resident.training.put(Failed(str(error), None, retry=True))

    def ended(self, step: Step[Any]) -> None:
        """Residents stay."""

    def _remove(self, key: str) -> None:
        resident = self._active.pop(key)
        self._queue.remove(key)
        self._slots[resident.group.prompt].give_back(resident.slot)
        waiting, self._waiting = self._waiting, collections.OrderedDict()
        for training in waiting.values():  # who finds no slot waits again, in the same order
            self.join(training)

    def _read(self, resident: Resident) -> PendingSnapshot:
        shapes = shapes_of(resident.training.task.start.values)
        return self._slots[resident.group.prompt].read(resident.slot, resident.step, shapes)

    # ---- one step ---------------------------------------------------------------------------

    def dispatch(self, step: Step[Any]) -> Dispatched:
        """Start one compiled step of the chosen residents."""
        chosen = [self._active[item.key] for item in step.items]
        shape = self._shapes.fitting(
            step.group, len(chosen), sum(resident.rows for resident in chosen)
        )
        batch = training_batch(chosen, shape, self._slots[step.group.prompt])
        metrics = self._device.train(shape, batch.residents, batch.rows, batch.context)
        stepped = [self._after(resident) for resident in chosen]
        room = shape.rows * self._device.shards
        return Dispatched(lambda: self._finish(metrics, batch.places, stepped), room)

    def _after(self, resident: Resident) -> Stepped:
        resident.step += 1
        spec, step = resident.training.task.spec, resident.step
        last = step == spec.steps
        checkpoint = step % spec.checkpoint_every == 0 and not last
        evaluate = bool(resident.training.task.validations) and (
            step % spec.evaluate_every == 0 and not last
        )
        snapshot = self._read(resident) if last or checkpoint or evaluate else None
        if last:
            self._remove(resident.training.task.id)
        return Stepped(resident.training, step, snapshot, checkpoint, evaluate, last)

    def _finish(self, metrics: TrainMetrics, places: list[int], stepped: list[Stepped]) -> None:
        loss, norm, members = map(np.asarray, self._device.read(metrics))
        for place, done in zip(places, stepped, strict=True):
            self._finish_one(done, float(loss[place]), float(norm[place]), members[place])

    def _finish_one(
        self, done: Stepped, loss: float, norm: float, members: NDArray[np.float32]
    ) -> None:
        training = done.training
        if not (math.isfinite(loss) and math.isfinite(norm)):
            self._diverged(training, done.step)
            return
        progress = Progress(done.step, loss, norm, _drawn(training, members))
        training.advance(progress)
        if done.snapshot is None:
            return
        snapshot = done.snapshot.read()
        if not all(np.isfinite(array).all() for array in snapshot.values.values()):
            self._diverged(training, done.step)
        elif done.last or done.evaluate:
            if done.checkpoint:
                training.put(Checkpointed(snapshot, progress))
            self._evaluation.begin(training, snapshot, last=done.last)
        else:
            training.put(Checkpointed(snapshot, progress))

    def _diverged(self, training: Training, step: int) -> None:
        self._ended(
            training,
            f"the loss or the prompt was no longer finite at step {step}; "
            "lower the learning rate or look for broken rows",
        )

    def _ended(self, training: Training, reason: str) -> None:
        """The job itself is at fault: it leaves."""
        failure = Failed(reason)
        training.put(failure)
        self._loop.command(lambda: self.fail(training.task.id, failure))


def _drawn(training: Training, losses: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """Each member's loss when it was last drawn; a member that was not has the loss 0 now."""
    members = training.task.members
    if members is None:
        return None
    before = training.progress.member_losses
    own = np.array(losses[: int(members.max()) + 1])
    if before is None:
        before = np.full(own.shape, np.nan, np.float32)
    return np.where(own > 0, own, before).astype(np.float32)
