"""How a job ends: what is recorded, and in which order, so that nothing is lost or doubled."""

from __future__ import annotations

import logging
import math
import time
import traceback as tracebacks
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
from etils import epath
from numpy.typing import NDArray

from ptsys.engine.model import ServedModel
from ptsys.engine.residents import Progress
from ptsys.errors import Conflict, InvalidInput, NotFound, Unavailable
from ptsys.jobs.leases import Claim
from ptsys.jobs.service import Service
from ptsys.prompts.storage import load_tensor, save_tensor
from ptsys.types.records import Job, Prompt

logger = logging.getLogger(__name__)
Result = TypeVar("Result")

_USERS_FAULT = (InvalidInput, NotFound, Conflict)
_INSIST_SECONDS = 0.5  # between two tries


def succeed(
    service: Service,
    claim: Claim,
    model: ServedModel,
    prompt: NDArray[np.float32],
    progress: Progress,
    scores: Mapping[str, float],
) -> Job:
    """Store the prompt, then record it together with the job's end. Raises LeaseLost."""
    identifier = prompt_id(claim.job.id)
    loss = finite({"train_loss": progress.loss})
    record = _record(service, claim, model, prompt, {**finite(scores), **loss})
    insist(service, lambda: service.leases.heartbeat(claim))
    store_tensor(service.prompts.tensor_path(identifier), prompt)
    return insist(
        service,
        lambda: service.leases.succeed(claim, record, {**metrics(progress), **finite(scores)}),
    )


def fail(service: Service, claim: Claim, error: BaseException) -> Job:
    """End an attempt by an exception: the user's fault fails the job, ours may be tried again.
    Raises LeaseLost."""
    trace = "".join(tracebacks.format_exception(error))
    own = str(error) or type(error).__name__
    if isinstance(error, _USERS_FAULT):
        return record_failure(service, claim, own, trace, retry=False)
    message = own if isinstance(error, Unavailable) else f"{type(error).__name__}: {own}"
    return record_failure(service, claim, message, trace, retry=True)


def record_failure(
    service: Service, claim: Claim, message: str, trace: str | None, *, retry: bool
) -> Job:
    """End an attempt. Of one that may be tried again the traceback goes into an event, as the
    record has none to show. Raises LeaseLost."""
    if retry and trace is not None:
        data = {"message": message, "traceback": trace[-4000:]}
        insist(service, lambda: service.leases.event(claim, "log", data))
    return insist(service, lambda: service.leases.fail(claim, message, trace, retry=retry))


def prompt_id(job: str) -> str:
    """The id of the prompt a job makes: one job, one prompt, however often it runs."""
    return "pr-" + job.removeprefix("job-")


def store_tensor(path: epath.Path, prompt: NDArray[np.float32]) -> None:
    """Write the tensor of a job's prompt.

    One that lies there whole was written by an earlier run of the same job, which died before it
    could say so: it stays, because whoever wrote it may have said so by now.
    """
    try:
        save_tensor(path, prompt)
    except Conflict:
        try:
            load_tensor(path)
        except InvalidInput:
            path.rmtree(missing_ok=True)
            save_tensor(path, prompt)


def insist(service: Service, action: Callable[[], Result]) -> Result:
    """Do it, again and again while the database is away, for two lease terms at most: then the
    lease is over anyhow. Raises what the action raises."""
    deadline = time.monotonic() + 2 * service.settings.lease_seconds
    while True:
        try:
            return action()
        except Unavailable:
            if time.monotonic() >= deadline:
                raise
        time.sleep(_INSIST_SECONDS)


def metrics(progress: Progress) -> dict[str, float]:
    """A step's numbers as they are recorded."""
    return finite({"loss": progress.loss, "gradient_norm": progress.gradient_norm})


def finite(values: Mapping[str, float]) -> dict[str, float]:
    """Without what JSON cannot say."""
    return {name: float(value) for name, value in values.items() if math.isfinite(value)}


def _record(
    service: Service,
    claim: Claim,
    model: ServedModel,
    prompt: NDArray[np.float32],
    scores: dict[str, float],
) -> Prompt:
    job, spec = claim.job, claim.job.spec
    settings: dict[str, Any] = spec.model_dump(
        mode="json",
        include={"optimizer", "batch_size", "length", "steps", "seed", "max_input_length"},
    )
    return Prompt(
        id=prompt_id(job.id),
        name=spec.name,
        owner=job.owner,
        model=model.name,
        model_fingerprint=model.fingerprint,
        length=prompt.shape[0],
        d_model=prompt.shape[1],
        created=service.clock(),
        job=job.id,
        dataset=spec.dataset,
        initialization=spec.initialization.model_dump(mode="json", exclude_none=True),
        hyperparameters=settings,
        steps=spec.steps,
        scores=scores,
    )
