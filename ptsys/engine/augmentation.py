"""An augmentation on an engine: rounds of chains of stages, each stage a resident.

Knows nothing of jobs: a benchmark runs it as a worker does. What it needs of the library comes
through `Sources`, what it tells goes to a `Listener`.
"""

from __future__ import annotations

import concurrent.futures
import math
import queue
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptsys.engine.augmentation_choice import best_of
from ptsys.engine.augmentation_scores import score
from ptsys.engine.augmentation_stages import StageRows, read_stage, stage_task
from ptsys.engine.augmentation_state import State, Way
from ptsys.engine.augmentation_task import AugmentationTask, Augmented, Listener, Sources
from ptsys.engine.engine import Engine
from ptsys.engine.residents import (
    Checkpointed,
    Evaluated,
    Failed,
    Finished,
    Snapshot,
    Stopped,
    Training,
    TrainingEvent,
)
from ptsys.errors import InvalidInput, Unavailable
from ptsys.library.augmentation import QUERY, Chain, Plan, combined_start, query_plan, round_plan

_LOOK_SECONDS = 0.1  # how often a waiting run looks whether it is to stop


class _Halted(Exception):
    """It was told to stop."""


class Augmentation:
    """One augmentation. `state` is where it stands, also after it was stopped."""

    def __init__(
        self,
        engine: Engine,
        task: AugmentationTask,
        sources: Sources,
        listener: Listener,
        state: State | None = None,
    ) -> None:
        """From the beginning, or from a `state` that was saved."""
        self._engine = engine
        self._task = task
        self._spec = task.spec
        self._sources = sources
        self._listener = listener
        self.state = state or self._first()
        self._running: dict[int, Training] = {}
        self._stopping = False
        self._lock = threading.Lock()
        self._wake = threading.Semaphore(0)
        self._due = 0.0

    def run(self) -> Augmented | None:
        """To the end; None if it was stopped before.

        Raises InvalidInput for what the user has to change, Unavailable for what may pass, and
        what the listener raises.
        """
        task = self._task
        try:
            while True:
                self._train()
                for way in score(self._engine, task, self.state.ways, self._wait):
                    self._tell_scores(way, way.scores, way.step)
                result = best_of(self.state)
                if self.state.round == self._spec.rounds:
                    return result
                self._next_round(result)
        except _Halted:
            return None
        except Unavailable:
            if self._stopping:
                return None  # the engine takes no more: its worker drains
            raise
        finally:
            self._leave()

    def stop(self) -> None:
        """Stop after the steps under way; from any thread."""
        with self._lock:
            self._stopping = True
            running = list(self._running.values())
        for training in running:
            training.stop()
        self._wake.release()

    # ---- rounds ---------------------------------------------------------------------------

    def _first(self) -> State:
        plan = query_plan(self._spec)
        [chain] = plan.chains
        start = self._task.start if self._task.query is None else self._task.query
        return State(round=0, plan=plan, ways=[Way(chain, Snapshot.start(start))])

    def _next_round(self, best: Augmented) -> None:
        state = self.state
        found = self._sources.find(best.prompt)
        number, step = state.round + 1, state.step
        plan = round_plan(self._spec, found, self._left(number, step))
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
        self._tell_found(plan)
        self._listener.save(self.state)

    def _left(self, number: int, step: int) -> int | None:
        """What the budget leaves to a round: as much as to each of those after it."""
        if self._spec.budget is None:
            return None
        return (self._spec.budget - step) // (self._spec.rounds - number + 1)

    def _tell_found(self, plan: Plan) -> None:
        count, message = len(plan.seconds), "no second prompt is to be seen: plain training"
        if count:
            bare = sum(second.dataset is None for second in plan.seconds)
            message = f"{count} second prompts found" if count > 1 else "1 second prompt found"
            message += f", {bare} of them without a dataset to be seen" if bare else ""
        seconds = [second.model_dump(mode="json") for second in plan.seconds]
        data = {"message": message, "round": self.state.round, "seconds": seconds}
        self._listener.event("log", {**data, "steps": self._planned})

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

    def _train(self) -> None:
        """Every chain through all its stages, at the same time."""
        for number in range(len(self.state.ways)):
            self._enter(number)
        while self._running:
            self._wake.acquire(timeout=max(self._due - time.monotonic(), 0.01))
            for number, training in list(self._running.items()):
                self._consume_all(number, training)
            self._tell()
        if self._stopping:
            raise _Halted

    def _enter(self, number: int) -> None:
        """Let a chain's next stage that has rows begin, if there is one."""
        way = self.state.ways[number]
        while not way.through:
            if self._stopping:
                return
            data = read_stage(self._engine, self._task, self._sources, self._listener, way)
            if data:
                self._begin(number, way, data)
                return
            way.next_stage(way.snapshot)

    def _begin(self, number: int, way: Way, data: Sequence[StageRows]) -> None:
        self._tell_stage(way, data)
        way.used += [
            rows.part.dataset
            for rows in data
            if rows.part.dataset is not None and rows.part.dataset not in way.used
        ]
        task = stage_task(self._task, self.state.round, way, data)
        with self._lock:
            if not self._stopping:
                self._running[number] = self._engine.train(task, self._wake.release)

    # ---- what residents tell --------------------------------------------------------------

    def _consume_all(self, number: int, training: Training) -> None:
        while True:
            try:
                event = training.events.get_nowait()
            except queue.Empty:
                return
            self._consume(number, event)

    def _consume(self, number: int, event: TrainingEvent) -> None:
        way = self.state.ways[number]
        if isinstance(event, Checkpointed):
            way.snapshot = event.snapshot
            self._save()
        elif isinstance(event, Evaluated):
            if event.step < way.current.steps:
                self._tell_scores(way, event.scores, way.made + event.step)
        elif isinstance(event, Finished):
            self._finished(number, way, event)
        elif isinstance(event, Stopped):
            self._stopping = True
            way.snapshot = event.snapshot
            self._gone(number)
        else:
            self._failed(number, way, event)

    def _finished(self, number: int, way: Way, event: Finished) -> None:
        self._gone(number)
        way.next_stage(event.snapshot)
        way.scores = dict(event.scores)
        if not all(way.through for way in self.state.ways):  # else it is saved with what follows
            self._save()
        self._enter(number)

    def _failed(self, number: int, way: Way, event: Failed) -> None:
        """One of several candidates may fail; what is the service's fault ends the attempt."""
        self._gone(number)
        if event.retry:
            raise Unavailable(event.message)
        if len(self.state.ways) == 1:
            raise InvalidInput(event.message)
        way.failed = event.message
        message = f"{way.chain.name} is left out: {event.message}"
        self._listener.event("log", {"message": message, "candidate": way.chain.name})

    def _gone(self, number: int) -> None:
        with self._lock:
            self._running.pop(number, None)

    def _save(self) -> None:
        self._tell(now=True)
        self._listener.save(self.state)

    def _leave(self) -> None:
        """Let no resident train on for nobody."""
        with self._lock:
            running, self._running = list(self._running.values()), {}
        for training in running:
            training.stop()

    def _wait(self, future: concurrent.futures.Future[Any]) -> Any:
        while not self._stopping:
            try:
                return future.result(timeout=_LOOK_SECONDS)
            except concurrent.futures.TimeoutError:
                if future.done():  # the engine's own
                    raise
        raise _Halted

    # ---- what is told ---------------------------------------------------------------------

    @property
    def _planned(self) -> int:
        """Updates in all, as far as is known."""
        state, spec = self.state, self._spec
        here = state.before + sum(way.planned for way in state.ways)
        if state.round == 0:
            return max(here, spec.planned_steps)
        later = (spec.rounds - state.round) * state.plan.steps
        return here + later

    def _tell(self, now: bool = False) -> None:
        """Tell the progress, if it is time."""
        if not now and time.monotonic() < self._due:
            return
        self._due = time.monotonic() + self._listener.pause()
        running = [(self.state.ways[n], t.progress) for n, t in list(self._running.items())]
        ahead = sum(max(progress.step - way.snapshot.step, 0) for way, progress in running)
        known = [(way, progress) for way, progress in running if math.isfinite(progress.loss)]
        metrics: dict[str, float] = {"steps": float(self._planned)}
        if known:
            metrics["loss"] = sum(progress.loss for _, progress in known) / len(known)
            metrics["gradient_norm"] = sum(p.gradient_norm for _, p in known) / len(known)
        if len(known) > 1:
            metrics |= {f"loss/{way.chain.name}": progress.loss for way, progress in known}
        self._listener.progress(self.state.step + ahead, metrics)

    def _tell_stage(self, way: Way, data: Sequence[StageRows]) -> None:
        stage = way.current
        number, count = way.stage + 1, len(way.chain.stages)
        drawn = [rows.part.model_dump(mode="json") for rows in data]
        self._listener.event(
            "log",
            {
                "message": f"{way.chain.name}: stage {number} of {count}, {stage.name}",
                "round": self.state.round,
                "candidate": way.chain.name,
                "stage": stage.name,
                "stage_steps": stage.steps,
                "step": self.state.step,
                "steps": self._planned,
                "data": drawn,
            },
        )

    def _tell_scores(self, way: Way, scores: Mapping[str, float], step: int) -> None:
        told = {"step": self.state.before + step, "candidate": way.chain.name}
        finite = {name: value for name, value in scores.items() if math.isfinite(value)}
        self._listener.event("evaluation", {**told, "round": self.state.round, **finite})
