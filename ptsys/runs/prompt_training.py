"""Trains the prompts of a run: residents of one engine, each recorded when it is done."""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import math
import queue
import threading
import time
from collections.abc import Sequence
from pathlib import Path

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
    TrainingTask,
)
from ptsys.engine.workbench import Workbench
from ptsys.errors import PtsysError, Unavailable
from ptsys.prompts.storage import save_tensor
from ptsys.runs.prompt_plan import Plan, initialization, recorded_settings
from ptsys.runs.prompt_progress import PromptProgress
from ptsys.runs.stores import Stores
from ptsys.runs.tasks.task import Part
from ptsys.runs.tuning import Tuning
from ptsys.store.clock import utc_now
from ptsys.store.job_checkpoints import JobCheckpoints, State
from ptsys.types.records import Prompt
from ptsys.types.requests import Prediction

_NO_MATTER = {"checkpoint_every", "evaluate_every", "truncate"}  # to where training leads
_LEAVE_SECONDS = 60.0
_PAUSE = 0.1  # seconds between two looks at all residents
_AHEAD = 2  # so many times what the engine takes in are prepared, so that no slot waits


@dataclasses.dataclass
class Resident:
    """A prompt on its way."""

    plan: Plan
    training: Training
    checkpoints: JobCheckpoints
    loss: float = math.nan
    finished: Finished | None = None
    answers: concurrent.futures.Future[list[Prediction]] | None = None


class PromptTraining:
    """One run's training. Residents are attended by a thread of its own, so that a signal, which
    comes to the main thread, finds nothing half done."""

    def __init__(
        self,
        config: Tuning,
        bench: Workbench,
        engine: Engine,
        stores: Stores,
        checkpoints: Path,
        progress: PromptProgress,
    ) -> None:
        """`engine` is not started yet; `checkpoints` is a folder for those of all prompts."""
        self._config = config
        self._bench = bench
        self._engine = engine
        self._datasets = stores.datasets
        self._prompts = stores.prompts
        self._folder = checkpoints
        self._progress = progress
        self._halt = threading.Event()
        self._residents: list[Resident] = []
        self._steps = 0  # of prompts that have ended
        self._deadline: float | None = None  # to hear of all residents of a stopped run

    def run(self, plans: Sequence[Plan]) -> None:
        """Train and record them all; what fails is written into its plan.

        On KeyboardInterrupt every prompt is checkpointed at the step it has reached, before that
        is raised again. Raises Unavailable if the device thread ends by itself.
        """
        with concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="attend") as pool:
            attending = pool.submit(self._attend_all, collections.deque(plans))
            try:
                attending.result()
            except KeyboardInterrupt:
                self._progress.note("stopping: prompts are checkpointed; run again to go on")
                self._halt.set()
                attending.result()
                raise

    def _attend_all(self, waiting: collections.deque[Plan]) -> None:
        started = False
        try:
            while (waiting and not self._halt.is_set()) or self._residents:
                while waiting and len(self._residents) < _AHEAD * self._config.at_once:
                    if self._halt.is_set():
                        break
                    self._begin(waiting.popleft())
                if not started:  # after the first have joined, so that they share their first step
                    self._engine.start()
                    started = True
                if self._halt.is_set():
                    self._stop_all()
                attended = [self._attend(resident) for resident in list(self._residents)]
                if not any(attended):
                    time.sleep(_PAUSE)
                self._tell()
                if self._residents and not self._engine.alive and not self._leaving():
                    raise Unavailable("the device thread ended by itself; run again to go on")
        finally:
            for resident in self._residents:
                resident.checkpoints.close()

    # ---- begin ------------------------------------------------------------------------------

    def _begin(self, plan: Plan) -> None:
        try:
            task, loss, checkpoints = self._prepare(plan)
            training = self._engine.train(task)
        except PtsysError as error:
            plan.fail(str(error))
            self._progress.ended(plan, 0)
            return
        self._residents.append(Resident(plan, training, checkpoints, loss))

    def _prepare(self, plan: Plan) -> tuple[TrainingTask, float, JobCheckpoints]:
        """What the engine needs of a prompt, from its last checkpoint on if there is one; the
        loss it had there."""
        spec, dataset, served = plan.spec, plan.dataset, self._bench.served
        assert spec is not None
        assert dataset is not None
        encoded = self._engine.encode(spec, self._datasets.read(dataset.id))
        fresh = Snapshot.start(self._bench.initial(spec, spec.length, encoded.texts))
        inputs, targets = self._rows(plan, "validation")
        checkpoints = JobCheckpoints(
            self._folder / plan.name,
            {
                "spec": spec.model_dump(mode="json", exclude=_NO_MATTER),
                "settings": recorded_settings(spec, plan.task),
                "dataset": dataset.digest,
                "fingerprint": served.fingerprint,
            },
        )
        step, state, notes = checkpoints.restore_noted(_state(fresh)) or (0, _state(fresh), {})
        task = TrainingTask(
            id=plan.name,
            user=self._config.owner or "local",
            spec=spec,
            examples=encoded,
            start=Snapshot(step, **state),
            validation_inputs=inputs,
            validation_targets=targets,
            order=plan.task.order(spec.batch_size, spec.seed),
            score=lambda answers, _: plan.task.score("validation", answers),
        )
        return task, notes.get("loss", math.nan), checkpoints

    def _rows(self, plan: Plan, part: Part) -> tuple[list[str], list[str]]:
        """Inputs and targets of the rows to score on, if the run is to."""
        if part not in self._config.evaluate_on:
            return [], []
        rows = plan.task.rows(part)
        return [row.input for row in rows], [row.target or "" for row in rows]

    # ---- on the way -------------------------------------------------------------------------

    def _attend(self, resident: Resident) -> bool:
        """Look after one prompt; True if something had happened."""
        if resident.answers is not None:
            if self._halt.is_set():
                self._leave(resident)
            elif resident.answers.done():
                self._record(resident)
            else:
                return False
            return True
        try:
            event = resident.training.events.get_nowait()
        except queue.Empty:
            if self._halt.is_set() and not self._engine.alive:
                self._leave(resident)
                return True
            return False
        self._consume(resident, event)
        return True

    def _consume(self, resident: Resident, event: TrainingEvent) -> None:
        if isinstance(event, Checkpointed):
            told = event.progress
            resident.loss = told.loss
            if resident.training.events.empty():  # else there is a newer state already
                self._save(resident, event.snapshot)
            self._progress.step(resident.plan, told.step, told.loss, told.gradient_norm)
        elif isinstance(event, Evaluated):
            if event.step < resident.training.task.spec.steps:  # else it is told at the end
                self._progress.evaluated(resident.plan, event.step, event.scores)
        elif isinstance(event, Finished):
            last = resident.training.progress
            resident.loss = last.loss if math.isfinite(last.loss) else resident.loss
            resident.finished = event
            self._score(resident)
        elif isinstance(event, Stopped):
            self._leave(resident, event.snapshot)
        elif isinstance(event, Failed):
            self._failed(resident, event.message, for_good=not event.retry)

    def _save(self, resident: Resident, snapshot: Snapshot) -> None:
        """Write a checkpoint. If that is impossible, training goes on: the next one may be."""
        try:
            notes = {"loss": resident.loss} if math.isfinite(resident.loss) else {}
            resident.checkpoints.save(snapshot.step, _state(snapshot), notes)
        except Exception as error:  # Orbax and TensorStore raise many kinds
            reason = str(error).partition("\n")[0]
            self._progress.note(
                f"{resident.plan.name}: the checkpoint of step {snapshot.step} was not written: "
                f"{reason}"
            )

    def _stop_all(self) -> None:
        """Let every resident leave after the step under way."""
        self._engine.drain(timeout=0)

    def _leaving(self) -> bool:
        """The run was stopped just now: the device thread may have ended before all residents are
        heard of."""
        if not self._halt.is_set():
            return False
        self._deadline = self._deadline or time.monotonic() + _LEAVE_SECONDS
        return time.monotonic() < self._deadline

    def _leave(self, resident: Resident, snapshot: Snapshot | None = None) -> None:
        """The run is stopped: keep what this prompt has reached."""
        if snapshot is None and resident.finished is not None:
            snapshot = resident.finished.snapshot
        if snapshot is not None and snapshot.step > 0:
            self._save(resident, snapshot)
        self._end(resident)

    # ---- the end ----------------------------------------------------------------------------

    def _score(self, resident: Resident) -> None:
        """Ask for answers to the test rows, or record at once where there are none."""
        assert resident.finished is not None
        if self._halt.is_set():
            self._leave(resident)
            return
        try:
            inputs, targets = self._rows(resident.plan, "test")
            if not inputs:
                self._record(resident)
                return
            resident.answers = self._engine.evaluate(
                inputs,
                targets,
                resident.finished.snapshot.prompt,
                resident.training.task.user,
            )
        except PtsysError as error:
            self._failed(resident, str(error))

    def _record(self, resident: Resident) -> None:
        """Store the tensor, then the record; only then the checkpoints are of no more use."""
        assert resident.finished is not None
        plan = resident.plan
        try:
            scores = self._scores(resident)
            record = self._prompt(plan, len(resident.finished.snapshot.prompt), scores)
            save_tensor(self._prompts.tensor_path(record.id), resident.finished.snapshot.prompt)
            self._prompts.add(record)
        except Exception as error:  # this prompt's alone: the others go on
            known = isinstance(error, PtsysError)
            told = str(error).partition("\n")[0]
            self._failed(resident, told if known else f"{type(error).__name__}: {told}")
            return
        plan.state, plan.scores, plan.prompt = "trained", scores, record.id
        resident.checkpoints.forget()
        self._progress.ended(plan, record.steps)
        self._end(resident)

    def _scores(self, resident: Resident) -> dict[str, float]:
        assert resident.finished is not None
        found = {**resident.finished.scores, "train_loss": resident.loss}
        if resident.answers is not None:
            answers = [answer.prediction for answer in resident.answers.result()]
            tested = resident.plan.task.score("test", answers)
            found |= {f"test_{name}": score for name, score in tested.items()}
        return {name: float(score) for name, score in found.items() if math.isfinite(score)}

    def _prompt(self, plan: Plan, length: int, scores: dict[str, float]) -> Prompt:
        config, served, spec = self._config, self._bench.served, plan.spec
        assert spec is not None
        kind = () if plan.task.kind is None else (plan.task.kind,)
        return Prompt(
            id=self._prompts.new_id(),
            name=plan.name,
            owner=config.owner or "local",
            visibility=config.visibility,
            model=served.name,
            model_fingerprint=served.fingerprint,
            length=length,
            d_model=self._bench.config.d_model,
            created=utc_now(),
            dataset=spec.dataset,
            initialization=initialization(spec),
            hyperparameters=recorded_settings(spec, plan.task),
            steps=spec.steps,
            scores=scores,
            tags=(*config.tags, *kind),
            description=plan.task.description,
            licence=config.licence or plan.task.licence,
            contact=config.contact,
        )

    def _failed(self, resident: Resident, reason: str, *, for_good: bool = False) -> None:
        """Give a prompt up; its checkpoints serve the next run, unless it cannot end otherwise."""
        resident.plan.fail(reason)
        if for_good:
            resident.checkpoints.forget()
        self._progress.ended(resident.plan, resident.training.progress.step)
        self._end(resident)

    def _end(self, resident: Resident) -> None:
        resident.checkpoints.close()
        self._steps += resident.training.progress.step
        self._residents.remove(resident)

    def _tell(self) -> None:
        """Show how many steps are done."""
        under_way = sum(resident.training.progress.step for resident in self._residents)
        self._progress.steps(self._steps + under_way)


def _state(snapshot: Snapshot) -> State:
    return {"prompt": snapshot.prompt, "first": snapshot.first, "second": snapshot.second}
