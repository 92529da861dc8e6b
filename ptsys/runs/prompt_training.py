"""Trains the prompts of a run: side by side on one engine, each recorded when it is done."""

from __future__ import annotations

import concurrent.futures
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ptsys.data.metrics import Scorer
from ptsys.engine.engine import Engine
from ptsys.engine.trainings import Snapshot, TrainingTask, validations
from ptsys.engine.workbench import Workbench
from ptsys.errors import PtsysError, Unavailable
from ptsys.kinds.registry import META
from ptsys.kinds.trees import Tree
from ptsys.prompts.storage import save_tree
from ptsys.runs.prompt_plan import Plan, rates_of
from ptsys.runs.prompt_progress import PromptProgress
from ptsys.runs.recording import run_maker
from ptsys.runs.run_checkpoints import keep
from ptsys.runs.stores import Stores
from ptsys.runs.tasks.task import Part, Task
from ptsys.runs.tuning import Tuning
from ptsys.store.job_checkpoints import JobCheckpoints
from ptsys.training.course import Checkpoint, Completed, Ending, Failed
from ptsys.training.identity import Identity
from ptsys.training.last_rows import LastRows
from ptsys.training.loop import Loop
from ptsys.training.single import SingleTraining
from ptsys.training.start import first_prompt
from ptsys.training.trained import Maker
from ptsys.training.written_start import shipped_meta_prompt, written_start
from ptsys.types.example import Example
from ptsys.types.training import TrainingSpec

_PAUSE = 0.1  # seconds between two looks at all residents
_AHEAD = 2  # so many times what the engine takes in are prepared, so that no slot waits


class PromptTraining:
    """One run's training. The loop has a thread of its own, so that a signal, which comes to the
    main thread, finds nothing half done."""

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
        self._stores = stores
        self._folder = checkpoints
        self._progress = progress
        self._loop = Loop(engine, pause=lambda: _PAUSE)
        self._steps: dict[str, int] = {}  # that each prompt has reached

    def run(self, plans: Sequence[Plan]) -> None:
        """Train and record them all; what fails is written into its plan.

        On KeyboardInterrupt every prompt is checkpointed at the step it has reached, before that
        is raised again. Raises Unavailable if the device thread ends by itself.
        """
        with concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="trainings") as pool:
            running = pool.submit(self._train, plans)
            try:
                running.result()
            except KeyboardInterrupt:
                self._progress.note("stopping: prompts are checkpointed; run again to go on")
                self._loop.stop()
                running.result()
                raise

    def reached(self, plan: Plan, step: int) -> None:
        """A prompt stands at that step."""
        self._steps[plan.name] = step
        self._progress.steps(sum(self._steps.values()))

    def _train(self, plans: Sequence[Plan]) -> None:
        under_way: dict[SingleTraining, _Prompt] = {}
        most = _AHEAD * self._config.at_once
        courses = self._courses(plans, under_way)
        # the engine starts after the first have joined, so that they share their first step; but
        # where starts are written, it has to run for that
        writes = any(plan.spec and plan.spec.initialization.kind == META for plan in plans)
        if writes:
            self._engine.start()
        begun = (lambda: None) if writes else self._engine.start
        try:
            for course, ending in self._loop.run_all(courses, most, begun):
                assert isinstance(course, SingleTraining)
                self._end(under_way.pop(course), ending)
        finally:
            for prompt in under_way.values():
                prompt.checkpoints.close()

    def _courses(
        self, plans: Sequence[Plan], under_way: dict[SingleTraining, _Prompt]
    ) -> Iterator[SingleTraining]:
        for plan in plans:
            try:
                course, prompt = self._prepare(plan)
            except PtsysError as error:
                plan.fail(str(error))
                self._progress.ended(plan, 0)
                continue
            under_way[course] = prompt
            yield course

    def _prepare(self, plan: Plan) -> tuple[SingleTraining, _Prompt]:
        """A prompt's training, from its last checkpoint on if there is one."""
        spec, dataset = plan.spec, plan.dataset
        assert spec is not None
        assert dataset is not None
        rows = self._stores.datasets.read(dataset.id)
        encoded = self._engine.encode(spec, rows)
        fresh = first_prompt(self._bench, spec, encoded.texts, self._begun(spec, rows))
        fingerprint = self._bench.served.fingerprint
        identity = Identity(spec, (dataset.digest,), fingerprint, rates_of(plan.task))
        checkpoints = JobCheckpoints(self._folder / plan.name, identity.json(), identity.owns)
        step, state, notes = checkpoints.restore_noted(fresh.state()) or (0, fresh.state(), {})
        inputs, targets = self._rows(plan, "validation")
        score = _scorer(plan.task, "validation")
        task = TrainingTask(
            id=plan.name,
            user=self._config.owner or "local",
            spec=spec,
            examples=encoded,
            start=Snapshot.of(step, state, fresh),
            kind=spec.prompt_kind,
            validations=validations(inputs, targets, score=score),
            order=plan.task.order(spec.batch_size, spec.seed),
        )
        inputs, targets = self._rows(plan, "test")
        last = LastRows(inputs, targets, _scorer(plan.task, "test"))
        prompt = _Prompt(plan, checkpoints, self)
        loss = notes.get("loss", math.nan)
        return SingleTraining(task, prompt, loss=loss, last=last if inputs else None), prompt

    def _begun(self, spec: TrainingSpec, rows: Sequence[Example]) -> Tree | None:
        """What is written for a prompt to start from, if it is to be."""
        start = spec.initialization
        if start.kind != META:
            return None
        meta = shipped_meta_prompt(self._bench.served, f"{self._config.title}.init")
        user = self._config.owner or "local"
        return written_start(self._engine, meta, start, rows, seed=spec.seed, user=user)

    def _rows(self, plan: Plan, part: Part) -> tuple[list[str], list[str]]:
        """Inputs and targets of the rows to score on, if the run is to."""
        if part not in self._config.evaluate_on:
            return [], []
        rows = plan.task.rows(part)
        return [row.input for row in rows], [row.target or "" for row in rows]

    # ---- the end ----------------------------------------------------------------------------

    def _end(self, prompt: _Prompt, ending: Ending) -> None:
        """A prompt is done, has failed, or was stopped: then what it has reached is kept."""
        plan = prompt.plan
        try:
            if isinstance(ending, Completed):
                self._record(prompt, ending)
            elif isinstance(ending, Failed):
                if isinstance(ending.error, Unavailable) and not self._engine.alive:
                    raise Unavailable(f"{ending.error}; run again to go on")
                self._failed(prompt, ending)
            elif ending.checkpoint is not None:
                prompt.checkpoint(ending.checkpoint)
        finally:
            prompt.checkpoints.close()
        if plan.state in ("trained", "failed"):
            self._progress.ended(plan, self._steps.get(plan.name, 0))

    def _record(self, prompt: _Prompt, ending: Completed) -> None:
        """Store the tensor, then the record; only then the checkpoints are of no more use."""
        plan, [made] = prompt.plan, ending.prompts
        self.reached(plan, ending.step)
        try:
            record = self._maker(plan).record(
                made,
                self._stores.prompts.new_id(),
                description=plan.task.description,
                licence=self._config.licence or plan.task.licence,
            )
            save_tree(self._stores.prompts.tensor_path(record.id), made.values)
            self._stores.prompts.add(record)
        except Exception as error:  # this prompt's alone: the others go on
            self._failed(prompt, _failure(error))
            return
        plan.state, plan.scores, plan.prompt = "trained", dict(record.scores), record.id
        prompt.checkpoints.forget()

    def _maker(self, plan: Plan) -> Maker:
        assert plan.spec is not None
        kind = () if plan.task.kind is None else (plan.task.kind,)
        rates = rates_of(plan.task)
        return run_maker(self._config, plan.spec, self._bench.served, kind, rates)

    def _failed(self, prompt: _Prompt, ending: Failed) -> None:
        """Give a prompt up; its checkpoints serve the next run, unless it cannot end otherwise."""
        prompt.plan.fail(ending.message)
        if ending.error is None and not ending.retry:
            prompt.checkpoints.forget()


class _Prompt:
    """A prompt on its way: its plan, its checkpoints, and the listener of its training."""

    def __init__(self, plan: Plan, checkpoints: JobCheckpoints, training: PromptTraining) -> None:
        self.plan = plan
        self.checkpoints = checkpoints
        self._training = training
        self._progress = training._progress

    def progress(self, step: int, metrics: Mapping[str, float]) -> None:
        """Show how many steps are done."""
        self._training.reached(self.plan, step)

    def evaluation(self, step: int, scores: Mapping[str, float], **about: object) -> None:
        """Write the scores, unless they are told at the end."""
        if self.plan.spec is None or step < self.plan.spec.steps:
            self._progress.evaluated(self.plan, step, scores)

    def note(self, message: str, **about: object) -> None:
        """Say it."""
        self._progress.note(f"{self.plan.name}: {message}")

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        """Keep the newest. If that is impossible, training goes on: the next one may be kept."""
        numbers = (checkpoint.metrics.get(name, math.nan) for name in ("loss", "gradient_norm"))
        self._progress.step(self.plan, checkpoint.step, *numbers)
        if checkpoint.stale:
            return
        keep(self.checkpoints, checkpoint, self.note)


def _scorer(task: Task, part: Part) -> Scorer:
    """The task's own metrics, which know the part's targets."""
    return lambda answers, _: task.score(part, answers)


def _failure(error: Exception) -> Failed:
    reason = str(error).partition("\n")[0]
    known = isinstance(error, PtsysError)
    return Failed(reason if known else f"{type(error).__name__}: {reason}", error=error)
