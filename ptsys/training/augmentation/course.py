"""An augmentation on an engine: rounds of chains of stages, each stage a resident.

Knows nothing of jobs: a benchmark runs it as a worker does. What it needs of the library comes
through `Sources`, how it goes is told to a `Listener`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ptsys.engine import trainings
from ptsys.engine.trainings import Snapshot, Training, TrainingEvent
from ptsys.errors import InvalidInput, Unavailable
from ptsys.library.augmentation import QUERY, Chain, Plan, combined_start, query_plan, round_plan
from ptsys.training.augmentation.choice import best_of
from ptsys.training.augmentation.result import completed
from ptsys.training.augmentation.scores import score, tried
from ptsys.training.augmentation.stages import StageRows, read_stage, stage_task
from ptsys.training.augmentation.state import State, Way
from ptsys.training.augmentation.task import AugmentationTask, Augmented, Sources
from ptsys.training.course import Checkpoint, Ending, Interruption, Listener, Steps, finite
from ptsys.training.loop import Place


class Augmentation:
    """The course of one augmentation. `state` is where it stands, also after it was stopped;
    `result` is the best so far, once a round is over."""

    def __init__(
        self,
        task: AugmentationTask,
        sources: Sources,
        listener: Listener,
        state: State | None = None,
    ) -> None:
        """From the beginning, or from a `state` that was saved."""
        self._task = task
        self._spec = task.spec
        self._sources = sources
        self._listener = listener
        self.state = state or self._first()
        self.result: Augmented | None = None
        self._running: dict[int, Training] = {}
        self._metrics: dict[str, float] = {}
        self._left_early = False  # a resident was stopped before its end

    def run(self, place: Place) -> Steps[Ending]:
        """To the end. Raises InvalidInput for what the user has to change, Unavailable for what
        may pass."""
        while True:
            yield from self._train(place)
            for way in (yield from score(place, self._task, self.state.ways)):
                self._tell_scores(way, way.scores, way.step)
            result = self.result = best_of(self.state)
            if self.state.round == self._spec.rounds:
                return completed(self._spec, result, self.state.step, self._metrics, self._listener)
            yield from self._next_round(place, result)

    def checkpoint(self) -> Checkpoint | None:
        """Of the state as it stands."""
        state = self.state
        if state.step == 0:
            return None
        return Checkpoint(state.step, state.arrays(self._spec), state.notes())

    # ---- rounds ---------------------------------------------------------------------------

    def _first(self) -> State:
        task = self._task
        plan = query_plan(self._spec, written=task.written is not None)
        starts = {"shared": task.start, "query": task.query, "written": task.written}
        ways = []
        for chain in plan.chains:
            start = starts[chain.origin]
            assert start is not None
            ways.append(Way(chain, Snapshot.start(start)))
        return State(round=0, plan=plan, ways=ways)

    def _next_round(self, place: Place, best: Augmented) -> Steps[None]:
        state = self.state
        neighbours = self._sources.find(best.prompt)
        if len(neighbours) > self._spec.neighbours:
            neighbours = yield from tried(place, self._task, self._sources, neighbours)
        number, step = state.round + 1, state.step
        plan = round_plan(self._spec, neighbours, self._left(number, step))
        self.state = State(
            round=number,
            plan=plan,
            ways=[Way(chain, Snapshot.start(self._start(chain, best))) for chain in plan.chains],
            before=step,
            query=best.prompt,
            scores=best.scores,
            steps=best.steps,
            origin=best.origin,
            winner=best.winner,
            parents=list(best.parents),
        )
        for way in self.state.ways:
            if way.chain.name == QUERY:
                way.scores = dict(best.scores)
        self._tell_plan(plan)
        self._save()

    def _left(self, number: int, step: int) -> int | None:
        """What the budget leaves to a round: as much as to each of those after it."""
        if self._spec.budget is None:
            return None
        return (self._spec.budget - step) // (self._spec.rounds - number + 1)

    def _start(self, chain: Chain, best: Augmented) -> NDArray[np.float32]:
        if chain.origin == "shared":
            return self._task.start
        if chain.origin == "query":
            return best.prompt
        parts = []
        for second in chain.start:
            rows = self._sources.tensor(second.prompt)
            if rows is not None:
                parts.append((rows, second.weight))
        return combined_start(self._task.start, parts) if parts else self._task.start

    # ---- training -------------------------------------------------------------------------

    def _train(self, place: Place) -> Steps[None]:
        """Every chain through all its stages, at the same time."""
        for number in range(len(self.state.ways)):
            self._enter(place, number)
        while self._running:
            yield
            for number, training in list(self._running.items()):
                while (event := place.poll(training)) is not None:
                    self._consume(place, number, event)
        if place.stopping or self._left_early:
            raise Interruption

    def _enter(self, place: Place, number: int) -> None:
        """Let a chain's next stage that has rows begin, if there is one."""
        way = self.state.ways[number]
        while not way.through:
            if place.stopping or self._left_early:
                return
            data = read_stage(place.engine, self._task, self._sources, self._listener, way)
            if data:
                self._begin(place, number, way, data)
                return
            way.next_stage(way.snapshot)

    def _begin(self, place: Place, number: int, way: Way, data: Sequence[StageRows]) -> None:
        self._tell_stage(way, data)
        way.used += [
            rows.part.dataset
            for rows in data
            if rows.part.dataset is not None and rows.part.dataset not in way.used
        ]
        self._running[number] = place.train(stage_task(self._task, self.state.round, way, data))

    def _consume(self, place: Place, number: int, event: TrainingEvent) -> None:
        way = self.state.ways[number]
        if isinstance(event, trainings.Checkpointed):
            way.snapshot = event.snapshot
            self._save()
        elif isinstance(event, trainings.Evaluated):
            if event.step < way.current.steps:
                self._tell_scores(way, event.scores, way.made + event.step)
        elif isinstance(event, trainings.Finished):
            self._finished(place, number, way, event)
        elif isinstance(event, trainings.Stopped):
            way.snapshot = event.snapshot
            self._left_early = True
            del self._running[number]
        else:
            self._failed(number, way, event)

    def _finished(self, place: Place, number: int, way: Way, event: trainings.Finished) -> None:
        del self._running[number]
        way.next_stage(event.snapshot)
        way.scores = dict(event.scores)
        if not all(way.through for way in self.state.ways):  # else it is saved with what follows
            self._save()
        self._enter(place, number)

    def _failed(self, number: int, way: Way, event: trainings.Failed) -> None:
        """One of several candidates may fail; what is the service's fault ends the attempt."""
        del self._running[number]
        if event.retry:
            raise Unavailable(event.message)
        if len(self.state.ways) == 1:
            raise InvalidInput(event.message)
        way.failed = event.message
        name = way.chain.name
        self._listener.note(f"{name} is left out: {event.message}", candidate=name)

    def _save(self) -> None:
        self.tell()
        state = self.state
        arrays, notes = state.arrays(self._spec), state.notes()
        self._listener.checkpoint(Checkpoint(state.step, arrays, notes, self._metrics))

    # ---- what is told ---------------------------------------------------------------------

    @property
    def _planned(self) -> int:
        """Updates in all, as far as is known."""
        state, spec = self.state, self._spec
        here = state.before + sum(way.planned for way in state.ways)
        if state.round == 0:
            others = (len(state.ways) - 1) * spec.query_steps
            return max(here, spec.planned_steps + others)
        later = (spec.rounds - state.round) * state.plan.steps
        return here + later

    def tell(self) -> None:
        """Updates in all chains, and the losses of those that train."""
        running = [(self.state.ways[n], t.progress) for n, t in self._running.items()]
        ahead = sum(max(progress.step - way.snapshot.step, 0) for way, progress in running)
        known = [(way, progress) for way, progress in running if math.isfinite(progress.loss)]
        metrics: dict[str, float] = {}
        if known:
            metrics["loss"] = sum(progress.loss for _, progress in known) / len(known)
            metrics["gradient_norm"] = sum(p.gradient_norm for _, p in known) / len(known)
        if len(known) > 1:
            metrics |= {f"loss/{way.chain.name}": progress.loss for way, progress in known}
        self._metrics = (finite(metrics) or self._metrics) | {"steps": float(self._planned)}
        self._listener.progress(self.state.step + ahead, self._metrics)

    def _tell_plan(self, plan: Plan) -> None:
        count, message = len(plan.second_prompts), "no second prompt is to be seen: plain training"
        if count:
            bare = sum(second.dataset is None for second in plan.second_prompts)
            message = f"{count} second prompts found" if count > 1 else "1 second prompt found"
            message += f", {bare} of them without a dataset to be seen" if bare else ""
        seconds = [second.model_dump(mode="json") for second in plan.second_prompts]
        self._listener.note(message, round=self.state.round, seconds=seconds, steps=self._planned)

    def _tell_stage(self, way: Way, data: Sequence[StageRows]) -> None:
        stage = way.current
        number, count = way.stage + 1, len(way.chain.stages)
        self._listener.note(
            f"{way.chain.name}: stage {number} of {count}, {stage.name}",
            round=self.state.round,
            candidate=way.chain.name,
            stage=stage.name,
            stage_steps=stage.steps,
            step=self.state.step,
            steps=self._planned,
            data=[rows.part.model_dump(mode="json") for rows in data],
        )

    def _tell_scores(self, way: Way, scores: Mapping[str, float], step: int) -> None:
        about = {"candidate": way.chain.name, "round": self.state.round}
        self._listener.evaluation(self.state.before + step, finite(scores), **about)
