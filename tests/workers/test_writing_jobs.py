"""Jobs that write many prompts: none is written twice, whatever dies, and what is written stays."""

from collections.abc import Callable

import pytest
import tiny_model
from meta_prompts import random_meta
from safetensors.numpy import save_file
from waiting import until
from worker_deployment import Deployment

from ptsys.data.told_task import ToldTask
from ptsys.store.model_folders import META_PROMPT
from ptsys.types.records import Job, JobState
from ptsys.types.writing import WriteSpec

pytestmark = [pytest.mark.device, pytest.mark.slow]
COUNT = 500


def submitted(deployment: Deployment, name: str) -> Job:
    spec = WriteSpec(name=name, model=tiny_model.NAME, dataset="tasks", aggregate="mean")
    job = deployment.service.submit(spec, "ann")
    until(lambda: deployment.job(job).step > 0, 200)
    assert deployment.job(job).planned_steps == COUNT
    return job


def written(deployment: Deployment, name: str) -> dict[str, str]:
    """The ids of its prompts, by name."""
    found = deployment.service.prompts.list("ann", limit=2 * COUNT)
    return {one.name: one.id for one in found if one.name.startswith(f"{name}.")}


def test_a_killed_worker_writes_none_twice_and_a_cancelled_job_keeps_what_it_wrote(
    deploy: Callable[..., Deployment],
) -> None:
    deployment = deploy()
    meta = random_meta(tiny_model.D_MODEL)
    save_file(meta, deployment.root / "models" / tiny_model.NAME / META_PROMPT)
    tasks = [ToldTask(f"t{n}", tuple(tiny_model.rows(4, seed=n))) for n in range(COUNT)]
    deployment.add_rows("tasks", [task.row() for task in tasks])
    worker = deployment.start_worker().ready()
    job = submitted(deployment, "many")
    worker.kill()
    before = written(deployment, "many")
    assert 0 < len(before) < COUNT
    assert deployment.job(job).state is JobState.RUNNING

    deployment.start_worker()
    ended = deployment.wait(job)
    assert (ended.step, ended.metrics["failed"]) == (COUNT, 0)
    after = written(deployment, "many")
    assert (len(after), before.items() <= after.items()) == (COUNT, True)

    other = submitted(deployment, "more")
    deployment.service.cancel(other.id, "ann")
    assert deployment.ended(other).state is JobState.CANCELLED
    kept = written(deployment, "more")
    assert 0 < len(kept) < COUNT
    record = deployment.service.prompts.get("more.t0", "ann")
    assert (record.job, record.length) == (other.id, len(meta["start"]))
