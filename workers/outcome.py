"""How a job ends: what is recorded, and in which order, so that nothing is lost or doubled."""

from __future__ import annotations

import dataclasses
import logging
import time
import traceback as tracebacks
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from ptsys.engine.model import ServedModel
from ptsys.errors import Conflict, Damaged, InvalidInput, NotFound, Unavailable
from ptsys.jobs.leases import Claim
from ptsys.jobs.service import Service
from ptsys.kinds.trees import Tree
from ptsys.prompts.storage import load_tree, save_tree
from ptsys.store import trash
from ptsys.store.durable import keep
from ptsys.training.trained import Maker
from ptsys.types.records import Job, Prompt
from ptsys.types.writing import WriteSpec

logger = logging.getLogger(__name__)
Result = TypeVar("Result")

_FOR_GOOD = (InvalidInput, NotFound, Conflict, Damaged)
_INSIST_SECONDS = 0.5  # between two tries


@dataclasses.dataclass(frozen=True)
class Made:
    """A prompt that a job made: its record, and what is stored of it."""

    record: Prompt
    values: Tree


def succeed(
    service: Service,
    claim: Claim,
    made: Sequence[Made],
    metrics: Mapping[str, float],
    step: int,
) -> Job:
    """Store the prompts, the job's own first, then record them together with the job's end, after
    `step` updates. Raises LeaseLost."""
    insist(service, lambda: service.leases.heartbeat(claim))
    for one in made:
        store_prompt(service, one.record.id, one.values)
    own, *linked = (one.record for one in made)
    return insist(service, lambda: service.leases.succeed(claim, own, metrics, linked, step))


def fail(service: Service, claim: Claim, error: BaseException) -> Job:
    """End an attempt by an exception: the user's fault, or what stays damaged, fails the job; ours
    may be tried again. Raises LeaseLost."""
    trace = "".join(tracebacks.format_exception(error))
    own = str(error) or type(error).__name__
    if isinstance(error, _FOR_GOOD):
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


def store_prompt(service: Service, prompt: str, values: Tree) -> None:
    """Write what is stored of a job's prompt.

    One that lies there whole was written by an earlier run of the same job, which died before it
    could say so: it stays, because whoever wrote it may have said so by now. A damaged one goes to
    the trash.
    """
    path = service.prompts.tensor_path(prompt)
    try:
        save_tree(path, values)
    except Conflict:
        try:
            load_tree(path)
        except Damaged:
            trash.discard(service.settings.root, Path(path), service.clock().date())
            save_tree(path, values)
        else:
            keep(path)  # its writer may have died before it was on the disk


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


def maker(service: Service, job: Job, model: ServedModel) -> Maker:
    """What all prompts of a job that learns have in common."""
    assert not isinstance(job.spec, WriteSpec)
    return Maker(
        spec=job.spec,
        model=model,
        owner=job.owner,
        created=service.clock(),
        job=job.id,
        tags=job.spec.tags,
    )
