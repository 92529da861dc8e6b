"""One run of a job of whatever kind: what they have in common, from the claim to the end."""

from __future__ import annotations

import abc
import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from ptsys.engine.engine import Engine
from ptsys.engine.workbench import Workbench
from ptsys.errors import InvalidInput, LeaseLost, Unavailable
from ptsys.jobs.leases import EventKind
from ptsys.jobs.service import Service
from ptsys.prompts.multitask import TaskPart
from ptsys.prompts.storage import load_whole
from ptsys.store.job_checkpoints import JobCheckpoints, State
from ptsys.types.input_notes import InputNotes
from ptsys.types.specs import AnySpec
from workers import outcome
from workers.folders import checkpoints_folder, job_folder
from workers.holds import Halt, Hold
from workers.prompt_ids import prompt_id

logger = logging.getLogger(__name__)

Pause = Callable[[], float]
"""Seconds between two writings of a job's progress."""

Spec = TypeVar("Spec", bound=AnySpec)


def spec_identity(spec: AnySpec) -> dict[str, Any]:
    """What of a spec a checkpoint belongs to. Without what is at its default: a field that a later
    version adds must not part a running job from its checkpoints when the service is upgraded."""
    unseen = {"kind", "tags", "truncate"}
    return spec.model_dump(mode="json", exclude=unseen, exclude_defaults=True)


class Run(abc.ABC, Generic[Spec]):
    """The state of one run of a job."""

    def __init__(
        self,
        spec: Spec,
        hold: Hold,
        service: Service,
        engine: Engine,
        bench: Workbench,
        pause: Pause,
    ) -> None:
        self._spec = spec
        self._hold = hold
        self._claim = hold.claim
        self._service = service
        self._leases = service.leases
        self._engine = engine
        self._bench = bench
        self._pause = pause
        self._checkpoints: JobCheckpoints | None = None
        self._told = -1  # the step last written as progress

    @abc.abstractmethod
    def train(self) -> None:
        """The whole run. Raises LeaseLost, or what makes the job fail."""

    # ---- preparing ------------------------------------------------------------------------

    def _check_model(self) -> None:
        served = self._bench.served
        if self._spec.model != served.name:
            raise InvalidInput(
                f"the job is for model {self._spec.model!r}, this worker serves {served.name!r}",
                field="model",
            )

    def _restore(self, data: Mapping[str, Any], like: State) -> tuple[int, State] | None:
        """Open the job's checkpoints, which belong to its spec, its `data` and the weights; the
        newest step and state, of arrays `like` these, if there is one."""
        found = self._restore_noted(data, like)
        return None if found is None else found[:2]

    def _restore_noted(
        self, data: Mapping[str, Any], like: State
    ) -> tuple[int, State, dict[str, Any]] | None:
        """As `_restore`, with what was noted beside the arrays."""
        self._checkpoints = JobCheckpoints(
            checkpoints_folder(self._service.settings.root, self._claim.job.id),
            {
                "spec": spec_identity(self._spec),
                **data,
                "fingerprint": self._bench.served.fingerprint,
            },
        )
        found = self._checkpoints.restore_noted(like)
        self._told = 0
        if found is not None:
            self._told = found[0]
            self._leases.event(self._claim, "log", {"message": f"resumed from step {self._told}"})
        return found

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
            self._event("log", {"message": notes.warning})

    def _initial(self, length: int, texts: Sequence[str]) -> NDArray[np.float32]:
        """Where a prompt of `length` tokens starts, [length, D]; `texts` are the targets."""
        return self._bench.initial(self._spec, length, texts, self._other())

    def _other(self) -> NDArray[np.float32] | None:
        """The tensor of the prompt to start from, if it is task-specific then combined with its
        general one; `submit` saw that the owner may read both."""
        start = self._spec.initialization
        if start.kind != "prompt" or start.prompt is None:
            return None
        return self._tensor(start.prompt, "initialization.prompt")

    def _tensor(self, identifier: str, field: str) -> NDArray[np.float32] | None:
        """The tensor of a stored prompt as the model reads it, which `field` of the spec names."""
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
        return load_whole(prompts, record)

    # ---- while it trains ------------------------------------------------------------------

    def _tell(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write the progress if there is any. Raises LeaseLost; an absent database can wait."""
        if step <= self._told or self._hold.halt is Halt.LOST:
            return
        try:
            self._leases.progress(self._claim, step, metrics)
        except Unavailable as error:
            logger.warning("progress of job %s was not written: %s", self._claim.job.id, error)
        else:
            self._told = step

    def _save(self, step: int, state: State, notes: dict[str, Any] | None = None) -> None:
        """Write a checkpoint. If that is impossible, the job goes on: it would only resume from
        an earlier one."""
        assert self._checkpoints is not None
        try:
            self._leases.heartbeat(self._claim)  # only the holder may write there
            self._checkpoints.save(step, state, notes)
        except LeaseLost:
            raise
        except Exception as error:
            reason = f"the checkpoint of step {step} was not written: {error}"
            logger.warning("job %s: %s", self._claim.job.id, reason)
            self._event("log", {"message": reason})
        else:
            saved = functools.partial(self._leases.checkpoint, self._claim, step)
            if not outcome.insist(self._service, saved):
                self._hold.trust()

    def _event(self, kind: EventKind, data: Mapping[str, object]) -> None:
        outcome.insist(self._service, lambda: self._leases.event(self._claim, kind, data))

    # ---- its end --------------------------------------------------------------------------

    def _made(
        self,
        part: TaskPart,
        *,
        name: str,
        dataset: str | None,
        scores: Mapping[str, float],
        task: int | None = None,
    ) -> outcome.Made:
        """A prompt of this job, or of its task number `task`, and its record."""
        record = outcome.record(
            self._service,
            self._claim.job,
            self._bench.served,
            prompt_id(self._claim.job.id, task),
            name=name,
            length=0 if part.rows is None else len(part.rows),
            dataset=dataset,
            scores=scores,
            size=part.size,
        )
        return outcome.Made(record, part)

    def _succeeded(
        self,
        made: Sequence[outcome.Made],
        metrics: Mapping[str, float],
        step: int | None = None,
    ) -> None:
        job = outcome.succeed(self._service, self._claim, made, metrics, step)
        self._hold.outcome = job.state.value
        self._forget()
        logger.info("job %s %s", job.id, job.state.value)

    def _halted(
        self, step: int = 0, state: State | None = None, notes: dict[str, Any] | None = None
    ) -> None:
        """It was stopped early after `step` updates, perhaps before it began."""
        halt = self._hold.halt
        if halt is Halt.LOST:
            return
        if halt is Halt.CANCEL:
            outcome.insist(self._service, lambda: self._leases.cancelled(self._claim))
            self._hold.outcome = "cancelled"
            self._forget()
            logger.info("job %s was cancelled", self._claim.job.id)
            return
        if state is not None and step > 0:
            self._save(step, state, notes)
        reason = self._hold.reason
        outcome.insist(self._service, lambda: self._leases.release(self._claim, reason))
        self._hold.outcome = "given back"
        logger.info("job %s was given back", self._claim.job.id)

    def fail(self, error: Exception) -> None:
        """The run raised: record it. What cannot be recorded is left to the reconciler."""
        job = self._claim.job.id
        if self._hold.halt is Halt.LOST:
            return
        try:
            if self._hold.halt is Halt.GIVE_BACK and isinstance(error, Unavailable):
                self._halted()
                return
            logger.warning("job %s: an attempt ended with %s", job, type(error).__name__)
            self._ended(outcome.fail(self._service, self._claim, error).state.final)
        except LeaseLost as lost:
            logger.warning("job %s goes on elsewhere: %s", job, lost)
        except Exception:
            logger.exception("the failure of job %s could not be recorded", job)

    def _ended(self, final: bool) -> None:
        self._hold.outcome = "failed" if final else "retried"
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
