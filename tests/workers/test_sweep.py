import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ptsys.config import Settings
from ptsys.jobs.leases import Claim
from ptsys.jobs.service import Service
from ptsys.store.clock import utc_now
from ptsys.types.example import Example
from ptsys.types.records import Job, Prompt
from ptsys.types.training import TrainingSpec
from workers.prompt_ids import prompt_id
from workers.sweep import sweep

DAYS = 2 * 24 * 3600


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(Settings(data_dir=tmp_path, redis_url=None))
    service.datasets.add("d", "ann", [Example("a", "b")])
    yield service
    service.close()


def submit(service: Service, name: str) -> Job:
    return service.submit(TrainingSpec(name=name, dataset="d"), "ann")


def claim(service: Service, job: Job) -> Claim:
    claim = service.leases.claim(job.id, "worker-1")
    assert claim is not None
    return claim


def record(job: Job) -> Prompt:
    return Prompt(
        id=prompt_id(job.id),
        name=job.spec.name,
        owner="ann",
        model="tiny",
        model_fingerprint="f",
        length=1,
        d_model=1,
        created=utc_now(),
    )


def files(service: Service, *jobs: Job) -> list[Path]:
    """A folder and a tensor of each job."""
    root = service.settings.root
    made = []
    for job in jobs:
        for path in (root / "jobs" / job.id / "checkpoints", root / "prompts" / prompt_id(job.id)):
            path.mkdir(parents=True)
            (path / "data").write_text("x")
            made.append(path)
    return made


def age(path: Path) -> None:
    os.utime(path, (time.time() - DAYS,) * 2)


def test_what_waits_or_runs_keeps_everything(service: Service) -> None:
    waiting, running = submit(service, "waiting"), submit(service, "running")
    claim(service, running)
    paths = files(service, waiting, running)
    assert sweep(service) == []
    assert all(path.exists() for path in paths)


def test_of_what_ended_only_recorded_prompts_stay(service: Service) -> None:
    done, failed, cancelled = (submit(service, name) for name in ("done", "failed", "cancelled"))
    service.leases.succeed(claim(service, done), record(done), {})
    service.leases.fail(claim(service, failed), "broken", retry=False)
    service.cancel(cancelled.id, "ann")
    files(service, done, failed, cancelled)
    assert len(sweep(service)) == 5
    root = service.settings.root
    assert [path.name for path in (root / "prompts").iterdir()] == [prompt_id(done.id)]
    assert list((root / "jobs").iterdir()) == []
    assert sweep(service) == []


def test_a_tasks_tensor_stays_with_its_record_alone(service: Service) -> None:
    done, failed, waiting = (submit(service, name) for name in ("done", "failed", "waiting"))
    linked = record(done).model_copy(update={"id": prompt_id(done.id, 12), "name": "done.x"})
    service.leases.succeed(claim(service, done), record(done), {}, [linked])
    service.leases.fail(claim(service, failed), "broken", retry=False)
    folder = service.settings.root / "prompts"
    for job, task in ((done, 12), (done, 13), (failed, 0), (waiting, 255)):
        (folder / prompt_id(job.id, task)).mkdir(parents=True)
    sweep(service)
    left = {path.name for path in folder.iterdir()}
    assert left == {prompt_id(done.id, 12), prompt_id(waiting.id, 255)}


def test_what_no_record_explains_stays_for_a_day(service: Service) -> None:
    root = service.settings.root
    unknown = [
        root / "jobs" / "job-unknown",
        root / "prompts" / "pr-imported",
        root / "prompts" / ("pr-x.orbax-checkpoint-tmp-1"),
    ]
    for path in unknown:
        path.mkdir(parents=True)
    draft = root / "datasets" / ".ds-1.draft"
    draft.write_text("{}")
    assert sweep(service) == []
    for path in [*unknown, draft]:
        age(path)
    assert len(sweep(service)) == 4
    assert not any(path.exists() for path in [*unknown, draft])
    assert service.datasets.read(service.datasets.get("d", "ann").id)  # a whole one is no draft
