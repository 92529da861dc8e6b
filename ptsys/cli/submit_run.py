"""`ptsys run … --submit`: the run's jobs in the queue, and on request their end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ptsys.cli.deployment import TIMEOUT, Deployment
from ptsys.cli.output import note, print_json, print_table

if TYPE_CHECKING:
    from ptsys.client import Client
    from ptsys.runs.submission import JobRequest, Submitted
    from ptsys.types.records import Job


def submit_run(
    where: Deployment, requests: Sequence[JobRequest], *, wait: bool, as_json: bool
) -> bool:
    """Queue what is not there yet and say what there is; False if a job has failed in the end.

    Raises Conflict for names that are taken by something else.
    """
    from ptsys.cli.local_service import LocalService
    from ptsys.runs.submission import submit

    with LocalService(where.settings, timeout=TIMEOUT) as local:
        found = submit(local.service, where.user, requests)
        model = requests[0].options.model
        if any(one.job is not None for one in found) and not where.serving(model):
            note(f"start a worker with {where.start_command(model)}")
        ended = _wait(where, local.client(where.user), found) if wait else {}
        lines = [_line(one, ended) for one in found]
    if as_json:
        print_json({"jobs": lines})
    else:
        print_table(list(lines[0]), [list(line.values()) for line in lines], empty="")
    return all(line["state"] not in ("failed", "cancelled") for line in lines)


def _wait(where: Deployment, client: Client, found: Sequence[Submitted]) -> dict[str, Job]:
    """The jobs as they ended, by id."""
    from ptsys.cli.watching import Watched, watch

    watched = [
        Watched(client.jobs.get(one.job.id), one.spec.name) for one in found if one.job is not None
    ]
    try:
        jobs = watch(client, watched) if watched else []
    except KeyboardInterrupt:
        note(f"the jobs go on: {where.line('jobs list')}, or this command again to watch them")
        raise
    return {job.id: job for job in jobs}


def _line(one: Submitted, ended: dict[str, Job]) -> dict[str, Any]:
    """A job as it stands, or the prompt that one has made before."""
    line: dict[str, Any] = {"prompt": one.spec.name}
    if one.job is None:
        assert one.prompt is not None
        return line | {"job": one.prompt.job, "state": "succeeded", "scores": one.prompt.scores}
    job = ended.get(one.job.id, one.job)
    names = ("accuracy", "token_f1")
    scores = {name: job.metrics[name] for name in names if name in job.metrics}
    return line | {"job": job.id, "state": str(job.state), "scores": scores}
