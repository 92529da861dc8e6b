"""A data folder that an earlier commit left, with jobs half-way, is opened and gone on with.

`make_data.py` says how such a folder is made; it holds jobs that were done without a break, as
`…-whole`, beside the same that were broken off.
"""

from pathlib import Path

import numpy as np
import pytest

from ptsys.engine.engine import Engine
from ptsys.engine.workbench import Workbench
from ptsys.jobs.limits import read_limits
from ptsys.jobs.reconciler import reconcile
from ptsys.jobs.service import Service
from ptsys.prompts.storage import load_part, load_whole
from ptsys.types.records import Job, JobState, Prompt
from workers.claimed_jobs import ClaimedJob
from workers.job import run_job

TASKS = ("colours", "near")
HALF_WAY = ("single", "tasks", "augmented")


def prompts_of(service: Service, job: Job) -> dict[str, Prompt]:
    """What a job made, by name without the job's own."""
    own = [prompt for prompt in service.prompts.list("ann", limit=100) if prompt.job == job.id]
    return {prompt.name.removeprefix(job.spec.name): prompt for prompt in own}


def job_named(service: Service, name: str) -> Job:
    [job] = [job for job in service.list("ann") if job.spec.name == name]
    return job


def test_its_records_are_read(service: Service, root: Path) -> None:
    assert read_limits(root, "mini").d_model == 32
    assert {job.spec.name for job in service.list("ann")} >= set(HALF_WAY)
    whole = job_named(service, "tasks-whole")
    made = prompts_of(service, whole)
    assert set(made) == {"", *(f".{task}" for task in TASKS)}
    assert made[".near"].general == made[""].id == whole.prompt
    assert made[""].hyperparameters["combination"] == "affine"
    augmented = prompts_of(service, job_named(service, "augmented-whole"))[""]
    assert [parent.role for parent in augmented.parents] == ["second"]
    assert len(service.datasets.read(service.datasets.get("near", "ann").id)) == 16


def test_its_prompts_answer(service: Service, engine: Engine) -> None:
    inputs = [row.input for row in service.datasets.read(service.datasets.get("near", "ann").id)]
    for prompt in service.prompts.list("ann", limit=100):
        answers = engine.predict(inputs, load_whole(service.prompts, prompt)).result(240)
        assert len(answers) == len(inputs)
        assert all(np.isfinite(answer.score) for answer in answers)


def test_its_library_finds_what_it_found(service: Service, bench: Workbench) -> None:
    query = load_whole(service.prompts, service.prompts.get("near", "ann"))
    found = service.library.search(query, "ann", fingerprint=bench.served.fingerprint, count=3)
    assert found[0].prompt.name == "near"


@pytest.mark.parametrize("name", HALF_WAY)
def test_a_job_that_stood_half_way_ends_as_if_nothing_had_happened(
    service: Service, engine: Engine, bench: Workbench, name: str
) -> None:
    job = job_named(service, name)
    stood = max(event.data["step"] for event in checkpoints(service, job))
    assert 0 < stood < job.planned_steps
    reconcile(service)  # the lease of one whose worker died is over long since
    claim = service.leases.claim(job.id, "worker-now")
    assert claim is not None
    run_job(ClaimedJob(claim), service, engine, bench, lambda: 0.01)
    ended = service.get(job.id, "ann")
    assert (ended.state, ended.error) == (JobState.SUCCEEDED, None)
    logs = [event.data["message"] for event in events(service, job) if event.kind == "log"]
    assert f"resumed from step {stood}" in logs
    made = prompts_of(service, ended)
    whole = prompts_of(service, job_named(service, f"{name}-whole"))
    assert set(made) == set(whole)
    path = service.prompts.tensor_path
    for suffix, prompt in made.items():
        part, wanted = load_part(path(prompt.id)), load_part(path(whole[suffix].id))
        pairs = [(part.rows, wanted.rows)]
        if wanted.affine is not None:
            assert part.affine is not None
            pairs += [(part.affine.matrix, wanted.affine.matrix)]
            pairs += [(part.affine.bias, wanted.affine.bias)]
        for one, other in pairs:
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-4)
        assert prompt.hyperparameters == whole[suffix].hyperparameters
        assert prompt.steps == whole[suffix].steps


def events(service: Service, job: Job) -> list:
    return service.events(job.id, "ann", limit=1000)


def checkpoints(service: Service, job: Job) -> list:
    return [event for event in events(service, job) if event.kind == "checkpoint"]
