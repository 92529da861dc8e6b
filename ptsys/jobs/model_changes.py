"""Deleting a frozen model, or putting other weights in its place: what must be looked at first."""

from __future__ import annotations

from sqlalchemy import func, select

from ptsys.errors import Conflict, InvalidInput, Unavailable
from ptsys.jobs.limits import read_shape
from ptsys.jobs.presence import workers
from ptsys.jobs.redis_server import locate
from ptsys.jobs.service import Service
from ptsys.store.models import BUILTIN
from ptsys.store.tables import JobRow
from ptsys.types.records import JobState


def delete_model(service: Service, name: str, *, keep_prompts: bool = False) -> None:
    """Delete an imported model. Raises NotFound, and Conflict as `check_change` does."""
    check_change(service, name, None, keep_prompts=keep_prompts)
    service.models.delete(name)


def check_change(
    service: Service, name: str, fingerprint: str | None, *, keep_prompts: bool = False
) -> None:
    """Raise Conflict unless a model may go, or get weights of that fingerprint: it must not be
    built in or served, no job may wait for it, and no prompt may be left behind, which would be of
    no use with other weights; unless those are to be kept, for when the weights come back."""
    if name == BUILTIN:
        raise Conflict(f"the model {name!r} is built in and stays")
    try:
        known = read_shape(service.settings.root, name).fingerprint
    except InvalidInput:  # damaged, or only a record of it is left
        known = None
    _refuse_served(service, name)
    if fingerprint is not None and fingerprint == known:
        return
    _refuse_jobs(service, name)
    count = 0 if known is None else service.prompts.of_weights(name, known)
    if count and not keep_prompts:
        belong = "1 prompt belongs" if count == 1 else f"{count} prompts belong"
        raise Conflict(
            f"{belong} to these weights of model {name!r} (fingerprint {known}) and would be of no "
            "use without them; delete those first, or keep them for when the weights come back "
            "(--keep-prompts, over HTTP keep_prompts=true)"
        )


def _refuse_served(service: Service, name: str) -> None:
    try:
        present = workers(locate(service.settings))
    except Unavailable:
        return  # no Redis, no workers
    for worker in present:
        if worker.model == name:
            raise Conflict(
                f"a worker serves model {name!r} (process {worker.pid} on {worker.host}); stop it "
                "first: Ctrl-C where `ptsys up` runs"
            )


def _refuse_jobs(service: Service, name: str) -> None:
    unfinished = (JobState.QUEUED, JobState.RUNNING)
    query = select(func.count()).where(JobRow.model == name, JobRow.state.in_(unfinished))
    with service.database.reading() as session:
        count = session.scalar(query) or 0
    if count:
        wait = "1 job of it has" if count == 1 else f"{count} jobs of it have"
        raise Conflict(
            f"model {name!r} is needed: {wait} not ended; wait for them, or `ptsys jobs cancel ID`"
        )
