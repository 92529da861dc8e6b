"""The residents of an engine: joining, stepping together, evaluating and leaving.

All methods run on the device thread, except the callbacks handed to the finishing thread.
"""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import math
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ptsys.data.features import pad
from ptsys.data.order import BatchOrder
from ptsys.engine.buckets import INPUT_LENGTHS, PROMPT_LENGTHS, TARGET_LENGTHS, fit
from ptsys.engine.groups import Group, Shape
from ptsys.engine.residents import (
    Checkpointed,
    Evaluated,
    Failed,
    Finished,
    Progress,
    RowOrder,
    Snapshot,
    Stopped,
    Training,
)
from ptsys.engine.scheduler import Item, Step
from ptsys.engine.slots import PendingSnapshot, Slots
from ptsys.errors import Unavailable
from ptsys.kinds.batch import Rows
from ptsys.passes.gradients import PACKED_INPUTS
from ptsys.passes.train import TrainMetrics

if TYPE_CHECKING:
    from ptsys.engine.engine import Engine

SPARSE = 0.75  # of the padded positions: residents whose rows fill less have them packed


@dataclasses.dataclass
class Resident:
    """A job in a device slot."""

    training: Training
    group: Group
    slot: int
    step: int
    order: RowOrder
    inputs: NDArray[np.int32]
    targets: NDArray[np.int32]

    @property
    def rows(self) -> int:
        """Rows a step."""
        return self.training.task.spec.batch_size


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

    def __init__(self, engine: Engine, capacity: int) -> None:
        self._engine = engine
        self._capacity = capacity
        self._active: dict[str, Resident] = {}
        self._waiting: collections.OrderedDict[str, Training] = collections.OrderedDict()
        self._slots: dict[int, Slots] = {}

    @property
    def empty(self) -> bool:
        """Nobody trains or waits."""
        return not self._active and not self._waiting

    def slots(self, width: int) -> Slots:
        """The slots for prompts of one padded width."""
        if width not in self._slots:
            self._slots[width] = Slots(width, self._engine.device.memory(width))
        return self._slots[width]

    def join(self, training: Training) -> None:
        """Take a job in, or let it wait for a slot."""
        if len(self._active) >= self._capacity:
            self._waiting[training.task.id] = training
            return
        task = training.task
        if task.start.step >= task.spec.steps:  # restored after its last step
            self._engine.finish_later(lambda: self._evaluate(training, task.start, last=True))
            return
        try:
            resident = self._admit(training)
            slots = self.slots(resident.group.prompt)
            resident.slot = slots.take(task.start, task.spec, resident.group)
        except Exception as error:
            if not self._engine.device.lost:  # then the engine tells all
                trace = "".join(traceback.format_exception(error))
                training.put(Failed(str(error), trace, retry=isinstance(error, Unavailable)))
            return
        self._active[task.id] = resident
        self._engine.scheduler.training.add(Item(task.id, task.user, resident.group, resident.rows))

    def _admit(self, training: Training) -> Resident:
        task, data = training.task, training.task.examples
        prompt = fit(task.spec.length, PROMPT_LENGTHS, "length")
        inputs = fit(data.max_input, INPUT_LENGTHS, "input")
        rows = len(data.inputs)
        positions = task.spec.length + sum(map(len, data.inputs)) / rows
        group = Group(
            "train",
            prompt,
            inputs,
            fit(data.max_target, TARGET_LENGTHS, "target"),
            packed=inputs >= PACKED_INPUTS and positions < SPARSE * (prompt + inputs),
        )
        return Resident(
            training=training,
            group=group,
            slot=-1,
            step=task.start.step,
            order=task.order or BatchOrder(rows, task.spec.batch_size, task.spec.seed),
            inputs=pad(data.inputs, group.inputs, rows),
            targets=pad(data.targets, group.targets, rows),
        )

    def leave(self, key: str) -> None:
        """Stop a job between steps; its snapshot loses none of them."""
        waiting = self._waiting.pop(key, None)
        if waiting is not None:
            waiting.put(Stopped(waiting.task.start))
            return
        resident = self._active.get(key)
        if resident is not None and not self._engine.device.lost:
            training, pending = resident.training, self._read(resident)
            self._remove(key)
            self._engine.finish_later(lambda: training.put(Stopped(pending.read())))

    def stop_all(self) -> None:
        """Stop everyone (drain)."""
        for key in [*self._waiting, *self._active]:
            self.leave(key)

    def fail(self, key: str, failure: Failed) -> None:
        """A resident's step failed."""
        resident = self._active.get(key)
        if resident is not None:
            self._remove(key)
            resident.training.put(failure)

    def told(self, key: str, failure: Failed) -> None:
        """A resident's step failed and the device with it: nothing is done there any more."""
        resident = self._active.get(key)
        if resident is not None:
            resident.training.put(failure)

    def _remove(self, key: str) -> None:
        resident = self._active.pop(key)
        self._engine.scheduler.training.remove(key)
        self._slots[resident.group.prompt].give_back(resident.slot)
        if self._waiting:
            _, training = self._waiting.popitem(last=False)
            self.join(training)

    def _read(self, resident: Resident) -> PendingSnapshot:
        slots = self._slots[resident.group.prompt]
        return slots.read(resident.slot, resident.step, resident.training.task.spec.length)

    # ---- one step ---------------------------------------------------------------------------

    def dispatch(self, step: Step[Any]) -> Callable[[], None]:
        """Start one compiled step of the chosen residents; returns what to do when it is done."""
        chosen = [self._active[item.key] for item in step.items]
        shape = self._engine.shapes.fitting(
            step.group, len(chosen), sum(resident.rows for resident in chosen)
        )
        self._engine.room = shape.rows * self._engine.device.shards
        batch = training_batch(chosen, shape, self._slots[step.group.prompt])
        metrics = self._engine.device.train(shape, batch.residents, batch.rows)
        stepped = [self._after(resident) for resident in chosen]
        return lambda: self._finish(metrics, batch.places, stepped)

    def _after(self, resident: Resident) -> Stepped:
        resident.step += 1
        spec, step = resident.training.task.spec, resident.step
        last = step == spec.steps
        checkpoint = step % spec.checkpoint_every == 0 and not last
        evaluate = bool(resident.training.task.validation_inputs) and (
            step % spec.evaluate_every == 0 and not last
        )
        snapshot = self._read(resident) if last or checkpoint or evaluate else None
        if last:
            self._remove(resident.training.task.id)
        return Stepped(resident.training, step, snapshot, checkpoint, evaluate, last)

    def _finish(self, metrics: TrainMetrics, places: list[int], stepped: list[Stepped]) -> None:
        loss, norm = self._engine.device.read(metrics)
        for place, done in zip(places, stepped, strict=True):
            self._finish_one(done, float(loss[place]), float(norm[place]))

    def _finish_one(self, done: Stepped, loss: float, norm: float) -> None:
        training = done.training
        if not (math.isfinite(loss) and math.isfinite(norm)):
            self._diverged(training, done.step)
            return
        progress = Progress(done.step, loss, norm)
        training.advance(progress)
        if done.snapshot is None:
            return
        snapshot = done.snapshot.read()
        if not np.isfinite(snapshot.prompt).all():
            self._diverged(training, done.step)
        elif done.last or done.evaluate:
            if done.checkpoint:
                training.put(Checkpointed(snapshot, progress))
            self._evaluate(training, snapshot, last=done.last)
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
        self._engine.command(lambda: self.fail(training.task.id, failure))

    # ---- evaluation -------------------------------------------------------------------------

    def _evaluate(self, training: Training, snapshot: Snapshot, *, last: bool) -> None:
        task = training.task
        if not task.validation_inputs:
            if last:
                training.put(Finished(snapshot, {}))
            return
        targets = list(task.validation_targets)

        def scored(future: concurrent.futures.Future[Any]) -> None:
            error = future.exception()
            if error is not None:
                trace = "".join(traceback.format_exception(error))
                if last:
                    training.put(Failed(f"evaluation failed: {error}", trace, retry=True))
                return
            try:
                scores = task.score([row.prediction for row in future.result()], targets)
            except Exception as wrong:  # the task may bring metrics of its own
                self._ended(training, f"a metric failed: {type(wrong).__name__}: {wrong}")
                return
            training.put(Evaluated(snapshot.step, scores))
            if last:
                training.put(Finished(snapshot, scores))

        answers = self._engine.evaluate(task.validation_inputs, targets, snapshot.prompt, task.user)
        answers.add_done_callback(scored)


@dataclasses.dataclass(frozen=True)
class TrainingBatch:
    """A step's arguments, and where in its metrics each resident is found."""

    residents: NDArray[np.int32]
    rows: Rows
    places: list[int]


def training_batch(chosen: list[Resident], shape: Shape, slots: Slots) -> TrainingBatch:
    """The next rows of every chosen resident, on the shard its slot lies on."""
    group, shards = shape.group, slots.shards
    residents = np.full((shards, shape.slots), slots.per_shard, np.int32)
    inputs = np.zeros((shards, shape.rows, group.inputs), np.int32)
    targets = np.zeros((shards, shape.rows, group.targets), np.int32)
    slot = np.full((shards, shape.rows), shape.slots, np.int32)
    members, filled, places = [0] * shards, [0] * shards, []
    for resident in chosen:
        shard, number = slots.place(resident.slot)
        member, start = members[shard], filled[shard]
        rows, index = slice(start, start + resident.rows), resident.order.indices(resident.step)
        residents[shard, member] = number
        inputs[shard, rows], targets[shard, rows] = resident.inputs[index], resident.targets[index]
        slot[shard, rows] = member
        places.append(shard * shape.slots + member)
        members[shard], filled[shard] = member + 1, start + resident.rows
    flat: Any = [x.reshape(-1, *x.shape[2:]) for x in (inputs, targets, slot)]
    return TrainingBatch(residents.reshape(-1), Rows(*flat), places)
