"""One training job, from its claim to its end."""

from __future__ import annotations

import collections
import logging
import queue
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ptsys.engine.engine import Engine
from ptsys.engine.residents import (
    Checkpointed,
    Evaluated,
    Failed,
    Finished,
    Progress,
    Snapshot,
    Stopped,
    Training,
    TrainingEvent,
    TrainingTask,
)
from ptsys.errors import InvalidInput, LeaseLost, Unavailable
from ptsys.jobs.leases import EventKind
from ptsys.jobs.service import Service
from ptsys.prompts.initialization import initialize
from ptsys.prompts.storage import load_tensor
from ptsys.types.example import Example, digest
from workers import outcome
from workers.checkpointing import JobCheckpoints
from workers.folders import checkpoints_folder, job_folder
from workers.holds import Halt, Hold
from workers.loading import Workbench

logger = logging.getLogger(__name__)

Pause = Callable[[], float]
"""Seconds between two writings of a job's progress."""


def run_job(
    hold: Hold, service: Service, engine: Engine, bench: Workbench, pause: Pause = lambda: 1.0
) -> None:
    """Prepare, train and record a job. Raises nothing: whatever happens is the job's outcome."""
    run = _Run(hold, service, engine, bench, pause)
    job = hold.claim.job.id
    try:
        run.train()
    except LeaseLost as error:
        hold.stop(Halt.LOST)
        logger.warning("job %s goes on elsewhere: %s", job, error)
    except Exception as error:
        run.fail(error)
    finally:
        run.close()


class _Run:
    """The state of one run of a job."""

    def __init__(
        self, hold: Hold, service: Service, engine: Engine, bench: Workbench, pause: Pause
    ) -> None:
        self._hold = hold
        self._claim = hold.claim
        self._spec = hold.claim.job.spec
        self._service = service
        self._leases = service.leases
        self._engine = engine
        self._bench = bench
        self._pause = pause
        self._checkpoints: JobCheckpoints | None = None
        self._told = -1  # the step last written as progress

    # ---- preparing ------------------------------------------------------------------------

    def train(self) -> None:
        """The whole run. Raises LeaseLost, or what makes the job fail."""
        task = self._prepare()
        if self._hold.halt is not None:
            self._halted(None)
            return
        training = self._engine.train(task)
        self._hold.attach(training)
        while self._hold.halt is not Halt.LOST:
            event = self._next(training)
            if event is not None and self._consume(training, event):
                return

    def _prepare(self) -> TrainingTask:
        spec, claim = self._spec, self._claim
        served = self._bench.served
        if spec.model != served.name:
            raise InvalidInput(
                f"the job is for model {spec.model!r}, this worker serves {served.name!r}",
                field="model",
            )
        examples = self._service.datasets.read(spec.dataset)
        encoded = self._engine.encode(spec, examples)
        inputs, targets = self._validation()
        self._checkpoints = JobCheckpoints(
            checkpoints_folder(self._service.settings.root, claim.job.id),
            {
                "spec": spec.model_dump(mode="json"),
                "dataset": digest(examples),
                "fingerprint": served.fingerprint,
            },
        )
        start = self._checkpoints.restore(spec.length, self._bench.config.d_model)
        if start is None:
            start = Snapshot.start(self._initial(encoded.texts))
        else:
            self._leases.event(claim, "log", {"message": f"resumed from step {start.step}"})
        self._told = start.step
        return TrainingTask(
            id=f"{claim.job.id}#{claim.fence}",  # a job may come back before its last run left
            user=claim.job.owner,
            spec=spec,
            examples=encoded,
            start=start,
            validation_inputs=inputs,
            validation_targets=targets,
        )

    def _validation(self) -> tuple[list[str], list[str]]:
        if self._spec.validation is None:
            return [], []
        rows = self._service.datasets.read(self._spec.validation)
        return [row.input for row in rows], _targets(rows)

    def _initial(self, texts: Sequence[str]) -> NDArray[np.float32]:
        spec, served = self._spec, self._bench.served
        return initialize(
            spec.initialization,
            spec.length,
            spec.seed,
            embeddings=self._bench.embeddings,
            shared=served.initialization,
            encode=served.vocabulary.encode,
            common_pieces=self._bench.common_pieces,
            labels=[text for text, _ in collections.Counter(texts).most_common()],
            other=self._other(),
        )

    def _other(self) -> NDArray[np.float32] | None:
        """The tensor of the prompt to start from; `submit` saw that the owner may read it."""
        start = self._spec.initialization
        if start.kind != "prompt" or start.prompt is None:
            return None
        record = self._service.prompts.read(start.prompt)
        served = self._bench.served
        if record.model_fingerprint != served.fingerprint:
            raise InvalidInput(
                f"prompt {record.name!r} was trained on model {record.model!r} with fingerprint "
                f"{record.model_fingerprint}, {served.name!r} now has {served.fingerprint}; start "
                "from another prompt",
                field="initialization.prompt",
            )
        return load_tensor(self._service.prompts.tensor_path(record.id))

    # ---- while it trains ------------------------------------------------------------------

    def _next(self, training: Training) -> TrainingEvent | None:
        try:
            event = training.events.get(timeout=self._pause())
        except queue.Empty:
            self._tell(training.progress)
            return None
        if isinstance(event, Checkpointed | Evaluated | Finished):
            self._tell(training.progress)
        return event

    def _tell(self, progress: Progress) -> None:
        """Write the progress if there is any. Raises LeaseLost; an absent database can wait."""
        if progress.step <= self._told or self._hold.halt is Halt.LOST:
            return
        try:
            self._leases.progress(self._claim, progress.step, outcome.metrics(progress))
        except Unavailable as error:
            logger.warning("progress of job %s was not written: %s", self._claim.job.id, error)
        else:
            self._told = progress.step

    def _consume(self, training: Training, event: TrainingEvent) -> bool:
        """Do what the event asks for; True if it was the last one."""
        if isinstance(event, Checkpointed):
            self._save(event.snapshot)
            return False
        if isinstance(event, Evaluated):
            data = {"step": event.step, **outcome.finite(event.scores)}
            self._event("evaluation", data)
            return False
        if isinstance(event, Finished):
            self._finished(training.progress, event)
        elif isinstance(event, Stopped):
            self._tell(training.progress)
            self._halted(event.snapshot)
        else:
            self._failed(event)
        return True

    def _save(self, snapshot: Snapshot) -> None:
        """Write a checkpoint. If that is impossible, the job goes on: it would only resume from
        an earlier one."""
        assert self._checkpoints is not None
        try:
            self._leases.heartbeat(self._claim)  # only the holder may write there
            self._checkpoints.save(snapshot)
        except LeaseLost:
            raise
        except Exception as error:
            reason = f"the checkpoint of step {snapshot.step} was not written: {error}"
            logger.warning("job %s: %s", self._claim.job.id, reason)
            self._event("log", {"message": reason})
        else:
            self._event("checkpoint", {"step": snapshot.step})

    def _event(self, kind: EventKind, data: Mapping[str, object]) -> None:
        outcome.insist(self._service, lambda: self._leases.event(self._claim, kind, data))

    # ---- its end --------------------------------------------------------------------------

    def _finished(self, progress: Progress, event: Finished) -> None:
        outcome.succeed(
            self._service,
            self._claim,
            self._bench.served,
            event.snapshot.prompt,
            progress,
            event.scores,
        )
        self._forget()
        logger.info("job %s succeeded", self._claim.job.id)

    def _failed(self, event: Failed) -> None:
        job = outcome.record_failure(
            self._service, self._claim, event.message, event.traceback, retry=event.retry
        )
        self._ended(job.state.final)

    def _halted(self, snapshot: Snapshot | None) -> None:
        """It was stopped early, perhaps before it began."""
        halt = self._hold.halt
        if halt is Halt.LOST:
            return
        if halt is Halt.CANCEL:
            outcome.insist(self._service, lambda: self._leases.cancelled(self._claim))
            self._forget()
            logger.info("job %s was cancelled", self._claim.job.id)
            return
        if snapshot is not None and snapshot.step > 0:
            self._save(snapshot)
        outcome.insist(
            self._service, lambda: self._leases.release(self._claim, "its worker shut down")
        )
        logger.info("job %s was given back", self._claim.job.id)

    def fail(self, error: Exception) -> None:
        """The run raised: record it. What cannot be recorded is left to the reconciler."""
        job = self._claim.job.id
        if self._hold.halt is Halt.LOST:
            return
        try:
            if self._hold.halt is Halt.DRAIN and isinstance(error, Unavailable):
                self._halted(None)
                return
            logger.warning("job %s: an attempt ended with %s", job, type(error).__name__)
            self._ended(outcome.fail(self._service, self._claim, error).state.final)
        except LeaseLost as lost:
            logger.warning("job %s goes on elsewhere: %s", job, lost)
        except Exception:
            logger.exception("the failure of job %s could not be recorded", job)

    def _ended(self, final: bool) -> None:
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


def _targets(rows: Sequence[Example]) -> list[str]:
    missing = next((n for n, row in enumerate(rows, start=1) if row.target is None), None)
    if missing is not None:
        raise InvalidInput(
            f"validation row {missing}: 'target' is missing; give the answer", field="validation"
        )
    return [row.target or "" for row in rows]
