"""The training of a meta-prompt together with that of the prompts it learns from, as far as nobody
has given them: these are tuned first, residents like any other, several at a time."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptsys.engine import trainings
from ptsys.engine.trainings import Training, TrainingEvent
from ptsys.errors import InvalidInput, Unavailable
from ptsys.kinds.model_kind import RowCoder
from ptsys.kinds.trees import Tree
from ptsys.training import meta
from ptsys.training.course import (
    Checkpoint,
    Completed,
    Course,
    Ending,
    Interruption,
    Listener,
    Steps,
)
from ptsys.training.loop import Place
from ptsys.training.meta import MetaTaskData, MetaTraining
from ptsys.training.meta_teachers import Teachers
from ptsys.types.meta_training import MetaSpec
from ptsys.types.records import Parent

_AT_ONCE = 16  # prompts that are tuned at a time


def meta_training(
    identifier: str,
    user: str,
    spec: MetaSpec,
    tasks: Sequence[MetaTaskData],
    coder: RowCoder,
    start: Tree,
    resumed: Checkpoint | None,
    listener: Listener,
    parents: tuple[Parent, ...] = (),
    shared: NDArray[np.float32] | None = None,
) -> Course:
    """The course of such a job. Arguments and what it raises are as in `MetaTraining`."""
    of = (identifier, user, spec, tasks, coder, start)
    if not spec.missing_prompts:
        return MetaTraining(*of, resumed, listener, parents, shared)
    teachers = Teachers(spec, start["start"], resumed)
    behind = _Behind(listener, teachers, spec.planned_steps)
    own = MetaTraining(*of, behind.own(resumed), behind, parents, shared)
    return _TaughtTraining(identifier, user, spec, tasks, start, teachers, own, behind)


def residents_of(spec: MetaSpec) -> int:
    """How many residents such a job has at a time, at most."""
    return min(max(len(spec.missing_prompts), 1), _AT_ONCE)


def blank_arrays(spec: MetaSpec, start: Tree) -> dict[str, Any]:
    """What a checkpoint of such a job holds."""
    arrays = meta.blank_arrays(start)
    return arrays | Teachers(spec, start["start"]).arrays() if spec.missing_prompts else arrays


class _Behind:
    """The listener of a course that comes after the teachers': its steps are counted on."""

    def __init__(self, listener: Listener, teachers: Teachers, steps: int) -> None:
        self.listener, self._teachers, self._steps = listener, teachers, steps

    def own(self, checkpoint: Checkpoint | None) -> Checkpoint | None:
        """What a checkpoint holds of that course, if it had begun."""
        before = self._teachers.steps
        if checkpoint is None or checkpoint.step <= before:
            return None
        return dataclasses.replace(checkpoint, step=checkpoint.step - before)

    def whole(self, checkpoint: Checkpoint) -> Checkpoint:
        """A checkpoint of that course, the teachers beside."""
        return dataclasses.replace(
            checkpoint,
            step=self._teachers.steps + checkpoint.step,
            arrays={**checkpoint.arrays, **self._teachers.arrays()},
        )

    def progress(self, step: int, metrics: Mapping[str, float]) -> None:
        """Counted on."""
        counted = {**metrics, "steps": float(self._steps)}
        self.listener.progress(self._teachers.steps + step, counted)

    def evaluation(self, step: int, scores: Mapping[str, float], **about: object) -> None:
        """Counted on."""
        self.listener.evaluation(self._teachers.steps + step, scores, **about)

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        """With the teachers."""
        self.listener.checkpoint(self.whole(checkpoint))

    def note(self, message: str, **about: object) -> None:
        """As it is."""
        self.listener.note(message, **about)


class _TaughtTraining:
    """The course of both. Its steps are the updates of all prompts, then the meta-prompt's."""

    def __init__(
        self,
        identifier: str,
        user: str,
        spec: MetaSpec,
        tasks: Sequence[MetaTaskData],
        start: Tree,
        teachers: Teachers,
        own: MetaTraining,
        behind: _Behind,
    ) -> None:
        self._identifier, self._user, self._spec, self._tasks = identifier, user, spec, tasks
        self._blank = meta.blank_arrays(start)
        self._teachers, self._own, self._behind = teachers, own, behind
        self._listener = behind.listener
        self._running: dict[int, Training] = {}
        self._saved = teachers.step
        self._left_early = False  # a resident was stopped before its end

    def run(self, place: Place) -> Steps[Ending]:
        """The prompts, then the meta-prompt."""
        if self._teachers.open:
            yield from self._tune(place)
        self._own.teach(self._teachers.prompts)
        ending = yield from self._own.run(place)
        if isinstance(ending, Completed):
            return dataclasses.replace(ending, step=self._teachers.steps + ending.step)
        return ending

    def _tune(self, place: Place) -> Steps[None]:
        teachers, updates = self._teachers, self._spec.prompt_updates
        waiting = teachers.open
        count = f"{len(waiting)} prompts are" if len(waiting) > 1 else "1 prompt is"
        message = f"{count} tuned first, {updates} steps each"
        self._listener.note(message, prompts=len(waiting), prompt_steps=updates)
        while True:
            leaving = place.stopping or self._left_early
            while waiting and len(self._running) < _AT_ONCE and not leaving:
                number = waiting.pop(0)
                data = self._tasks[teachers.places[number]]
                task = teachers.task(number, self._identifier, self._user, data)
                self._running[number] = place.train(task)
            if not self._running:
                break
            yield
            for number, training in list(self._running.items()):
                while (event := place.poll(training)) is not None:
                    self._consume(number, event)
            self._keep()
        if teachers.open:
            raise Interruption
        self._listener.note("the prompts are tuned: the meta-prompt learns")

    def _consume(self, number: int, event: TrainingEvent) -> None:
        """Raises InvalidInput where a prompt cannot be tuned, Unavailable where it may be later."""
        teachers = self._teachers
        if isinstance(event, trainings.Failed):
            name = self._spec.tasks[teachers.places[number]].name
            error = Unavailable if event.retry else InvalidInput
            raise error(f"the prompt of task {name!r}: {event.message}")
        teachers.snapshots[number] = event.snapshot
        if isinstance(event, trainings.Finished | trainings.Stopped):
            del self._running[number]
            self._left_early = self._left_early or isinstance(event, trainings.Stopped)

    def _keep(self) -> None:
        """Tell of a state to resume from, as often as each of those under way has one, and once
        all are ready."""
        new = self._teachers.step - self._saved
        every = self._spec.checkpoint_every * max(len(self._running), 1)
        if new >= every or (new and not self._teachers.open):
            self._saved = self._teachers.step
            self.tell()
            self._listener.checkpoint(self._state())

    def _state(self) -> Checkpoint:
        teachers = self._teachers
        arrays = {**self._blank, **teachers.arrays()}
        return Checkpoint(teachers.step, arrays, teachers.notes(), teachers.told())

    def tell(self) -> None:
        """How many prompts are ready; then the meta-prompt's last step."""
        teachers = self._teachers
        if not teachers.open:
            self._own.tell()
            return
        running = [(teachers.snapshots[n].step, x.progress) for n, x in self._running.items()]
        ahead = sum(max(progress.step - step, 0) for step, progress in running)
        losses = [progress.loss for _, progress in running if math.isfinite(progress.loss)]
        told = teachers.told(losses) | {"steps": float(self._spec.planned_steps)}
        self._listener.progress(teachers.step + ahead, told)

    def checkpoint(self) -> Checkpoint | None:
        """Of what is under way."""
        if self._teachers.step == 0:
            return None
        own = None if self._teachers.open else self._own.checkpoint()
        return self._state() if own is None else self._behind.whole(own)
