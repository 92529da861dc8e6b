"""One run of a job of whatever kind, from the claim to the end: its data is prepared, a loop
trains, and this listens and stores."""

from __future__ import annotations

import abc
import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from ptsys.engine.engine import Engine
from ptsys.engine.workbench import Workbench
from ptsys.errors import InvalidInput, LeaseLost, Unavailable
from ptsys.jobs.leases import EventKind
from ptsys.jobs.service import Service
from ptsys.kinds.starting import refuse_first
from ptsys.kinds.trees import Tree
from ptsys.prompts.storage import load_reading
from ptsys.store.job_checkpoints import JobCheckpoints, State
from ptsys.training.course import Checkpoint, Completed, Course, Ending, Failed, finite
from ptsys.training.identity import Identity
from ptsys.training.loop import Loop
from ptsys.training.written_start import shipped_meta_prompt
from ptsys.types.input_notes import InputNotes
from ptsys.types.requests import GENERIC
from ptsys.types.specs import AnySpec
from ptsys.types.training import TOKENS
from ptsys.types.writing import WriteSpec
from workers import outcome
from workers.claimed_jobs import ClaimedJob, Halt
from workers.folders import checkpoints_folder, job_folder
from workers.prompt_ids import prompt_id

logger = logging.getLogger(__name__)

Pause = Callable[[], float]
"""Seconds between two writings of a job's progress."""

Spec = TypeVar("Spec", bound=AnySpec)


class Run(abc.ABC, Generic[Spec]):
    """The state of one run of a job. It is the listener of its course."""

    def __init__(
        self,
        spec: Spec,
        claimed: ClaimedJob,
        service: Service,
        engine: Engine,
        bench: Workbench,
        pause: Pause,
    ) -> None:
        self._spec = spec
        self._claimed = claimed
        self._claim = claimed.claim
        self._service = service
        self._leases = service.leases
        self._engine = engine
        self._bench = bench
        self._pause = pause
        self._checkpoints: JobCheckpoints | None = None
        self._written = -1  # the step last written as progress
        self._saved = -1  # the step of the last checkpoint

    @abc.abstractmethod
    def _prepare(self) -> Course:
        """The training, from the last checkpoint on if there is one. Raises what makes the job
        fail."""

    def train(self) -> None:
        """The whole run. Raises LeaseLost, or what makes the job fail."""
        loop = Loop(self._engine, pause=self._pause, lost=lambda: self._claimed.halt is Halt.LOST)
        self._check_model()
        course = self._prepare()
        self._claimed.attach(loop)
        self._end(loop.run(course))

    # ---- preparing ------------------------------------------------------------------------

    def _check_model(self) -> None:
        served = self._bench.served
        if self._spec.model != served.name:
            raise InvalidInput(
                f"the job is for model {self._spec.model!r}, this worker serves {served.name!r}",
                field="model",
            )

    def _restore(self, digests: Sequence[str], like: State) -> Checkpoint | None:
        """Open the job's checkpoints, which belong to its spec, to rows of these digests and to
        the weights; the newest one, of arrays `like` these, if there is one."""
        fingerprint = self._bench.served.fingerprint
        identity = Identity(self._spec, tuple(digests), fingerprint)
        folder = checkpoints_folder(self._service.settings.root, self._claim.job.id)
        self._checkpoints = JobCheckpoints(folder, identity.json(), identity.owns)
        restored = self._checkpoints.restore_noted(like)
        self._written = 0
        if restored is None:
            return None
        checkpoint = Checkpoint(*restored)
        self._written = self._saved = checkpoint.step
        self._log(f"resumed from step {checkpoint.step}")
        return checkpoint

    def _validation(self, reference: str | None) -> tuple[list[str], list[str]]:
        """Inputs and targets of the rows to score on; none if no dataset is named."""
        if reference is None:
            return [], []
        rows = self._service.datasets.read(reference)
        for number, row in enumerate(rows, start=1):
            if row.target is None:
                raise InvalidInput(
                    f"validation row {number}: 'target' is missing; give the answer",
                    field="validation",
                )
        return [row.input for row in rows], [row.target or "" for row in rows]

    def _warn(self, notes: InputNotes) -> None:
        """Tell once, in the job's events, what is not read of its inputs."""
        if notes.warning is not None:
            self._log(notes.warning)

    def _initial(self, length: int, texts: Sequence[str]) -> NDArray[np.float32]:
        """Where a prompt of `length` tokens starts, [length, D]; `texts` are the targets."""
        assert not isinstance(self._spec, WriteSpec)
        return self._bench.initial(self._spec, length, texts, self._other())

    def _other(self) -> NDArray[np.float32] | None:
        """The soft tokens of the prompt to start from, if there is one."""
        tree = self._other_tree()
        if tree is None:
            return None
        refuse_first(TOKENS, tree.keys())
        return tree["prompt"]

    def _other_tree(self) -> Tree | None:
        """The prompt to start from, if it is task-specific then combined with its general one;
        `submit` saw that the owner may read both."""
        assert not isinstance(self._spec, WriteSpec)
        start = self._spec.initialization
        if start.kind != "prompt" or start.prompt is None:
            return None
        return self._tree(start.prompt, "initialization.prompt")

    def _tree(self, identifier: str, field: str) -> Tree | None:
        """The arrays of a stored prompt as the model reads it, which `field` of the spec names."""
        prompts = self._service.prompts
        record = prompts.read(identifier)
        served = self._bench.served
        if record.model_fingerprint != served.fingerprint:
            raise InvalidInput(
                f"prompt {record.name!r} was trained on model {record.model!r} with fingerprint "
                f"{record.model_fingerprint}, {served.name!r} now has {served.fingerprint}; start "
                "from another prompt",
                field=field,
            )
        return load_reading(prompts, record)

    def _meta(self, reference: str, field: str) -> Tree:
        """The meta-prompt that `field` of the spec names: the model's, or a stored one, which
        `submit` saw that the owner may read."""
        if reference == GENERIC:
            return shipped_meta_prompt(self._bench.served, field)
        tree = self._tree(reference, field)
        assert tree is not None
        return tree

    # ---- what the course tells ------------------------------------------------------------

    def progress(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write the progress if there is any. Raises LeaseLost; an absent database can wait."""
        if step <= self._written or self._claimed.halt is Halt.LOST:
            return
        try:
            self._leases.progress(self._claim, step, metrics)
        except Unavailable as error:
            logger.warning("progress of job %s was not written: %s", self._claim.job.id, error)
        else:
            self._written = step

    def evaluation(self, step: int, scores: Mapping[str, float], **about: object) -> None:
        """Write the scores. Raises LeaseLost."""
        self._event("evaluation", {"step": step, **about, **scores})

    def note(self, message: str, **about: object) -> None:
        """Write it down. Raises LeaseLost."""
        self._log(message, **about)

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint past the last one. If that is impossible, the job goes on: it would
        only resume from an earlier one. Raises LeaseLost."""
        step = checkpoint.step
        if step <= self._saved or self._claimed.halt is Halt.LOST:
            return
        assert self._checkpoints is not None
        try:
            self._leases.heartbeat(self._claim)  # only the holder may write there
            self._checkpoints.save(step, checkpoint.arrays, checkpoint.notes)
        except LeaseLost:
            raise
        except Exception as error:
            reason = f"the checkpoint of step {step} was not written: {error}"
            logger.warning("job %s: %s", self._claim.job.id, reason)
            self._log(reason)
        else:
            self._saved = step
            record = functools.partial(self._leases.checkpoint, self._claim, step)
            if not outcome.insist(self._service, record):
                self._claimed.trust()

    def _log(self, message: str, **about: object) -> None:
        self._event("log", {"message": message, **about})

    def _event(self, kind: EventKind, data: Mapping[str, object]) -> None:
        if self._claimed.halt is not Halt.LOST:
            outcome.insist(self._service, lambda: self._leases.event(self._claim, kind, data))

    # ---- its end --------------------------------------------------------------------------

    def _end(self, ending: Ending) -> None:
        """Record how the course ended. Raises LeaseLost."""
        if self._claimed.halt is Halt.LOST:
            return
        if isinstance(ending, Completed):
            self._succeeded(ending)
        elif isinstance(ending, Failed):
            claim, trace = self._claim, ending.traceback
            job = outcome.record_failure(
                self._service, claim, ending.message, trace, retry=ending.retry
            )
            self._ended(job.state.final)
        else:
            self._halted(ending.checkpoint)

    def _succeeded(self, ending: Completed) -> None:
        """Store all prompts, and record them with the job's end."""
        if not ending.prompts:
            metrics, step = finite(ending.metrics), ending.step
            ended = outcome.insist(
                self._service, lambda: self._leases.complete(self._claim, metrics, step)
            )
            self._claimed.outcome = ended.state.value
            self._forget()
            return
        job = self._claim.job
        maker = outcome.maker(self._service, job, self._bench.served)
        general = prompt_id(job.id)
        made = []
        for prompt in ending.prompts:
            linked = None if prompt.task is None else general
            record = maker.record(prompt, prompt_id(job.id, prompt.task), general=linked)
            made.append(outcome.Made(record, prompt.values))
        metrics = finite(ending.metrics)
        job = outcome.succeed(self._service, self._claim, made, metrics, ending.step)
        self._claimed.outcome = job.state.value
        self._forget()
        logger.info("job %s %s", job.id, job.state.value)

    def _halted(self, checkpoint: Checkpoint | None = None) -> None:
        """It was stopped early, perhaps before it began."""
        if self._claimed.halt is Halt.CANCEL:
            outcome.insist(self._service, lambda: self._leases.cancelled(self._claim))
            self._claimed.outcome = "cancelled"
            self._forget()
            logger.info("job %s was cancelled", self._claim.job.id)
            return
        if checkpoint is not None:
            self.checkpoint(checkpoint)
        reason = self._claimed.reason
        outcome.insist(self._service, lambda: self._leases.release(self._claim, reason))
        self._claimed.outcome = "given back"
        logger.info("job %s was given back", self._claim.job.id)

    def fail(self, error: Exception) -> None:
        """The run raised: record it. What cannot be recorded is left to the reconciler."""
        job = self._claim.job.id
        if self._claimed.halt is Halt.LOST:
            return
        try:
            if self._claimed.halt is Halt.GIVE_BACK and isinstance(error, Unavailable):
                self._halted()
                return
            logger.warning("job %s: an attempt ended with %s", job, type(error).__name__)
            self._ended(outcome.fail(self._service, self._claim, error).state.final)
        except LeaseLost as lost:
            logger.warning("job %s goes on elsewhere: %s", job, lost)
        except Exception:
            logger.exception("the failure of job %s could not be recorded", job)

    def _ended(self, final: bool) -> None:
        self._claimed.outcome = "failed" if final else "retried"
        logger.info("job %s %s", self._claim.job.id, "failed" if final else "will be tried again")
        if final:
            self._forget()

    def _forget(self) -> None:
        """The job's folder is of no more use. What stays, the sweep finds."""
        if self._checkpoints is not None:
            self._checkpoints.close()
        folder = job_folder(self._service.settings.root, self._claim.job.id)
        try:
            if folder.exists():
                folder.rmtree(missing_ok=True)
        except OSError as error:
            logger.warning("%s was not removed: %s", folder, error)

    def close(self) -> None:
        """Free the checkpoint manager."""
        if self._checkpoints is not None:
            self._checkpoints.close()
