import datetime
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete

from ptsys.config import Settings
from ptsys.errors import WrongDeployment
from ptsys.jobs.leases import Claim
from ptsys.jobs.service import Service
from ptsys.store.clock import utc_now
from ptsys.store.deployment import adopt
from ptsys.store.tables import PromptRow
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
    day = root / "trash" / f"{utc_now():%Y-%m-%d}"  # nothing is gone: no record said so
    moved = {path.relative_to(day) for path in day.glob("*/*")}
    assert moved == {path.relative_to(root) for path in [*unknown, draft]}
    assert service.datasets.read(service.datasets.get("d", "ann").id)  # a whole one is no draft


def imported(service: Service, count: int) -> list[Path]:
    """Tensors of prompts that no job made, with their records."""
    paths = []
    for number in range(count):
        prompt = service.prompts.add(
            record(submit(service, f"j{number}")).model_copy(
                update={"id": service.prompts.new_id(), "name": f"imported{number}"}
            )
        )
        path = Path(service.prompts.tensor_path(prompt.id))
        path.mkdir(parents=True)
        (path / "data").write_text(prompt.id)
        age(path)
        paths.append(path)
    return paths


def forget(service: Service, paths: list[Path]) -> None:
    with service.database.session() as session:
        names = [path.name for path in paths]
        session.execute(delete(PromptRow).where(PromptRow.id.in_(names)))


def test_an_older_database_costs_no_prompt(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    """Its records end before the newest files: those look like leftovers, and are many."""
    paths = imported(service, 8)
    forget(service, paths[3:])
    assert sweep(service) == []
    assert all(path.exists() for path in paths)
    assert "5 of 8" in caplog.text
    assert "ptsys adopt" in caplog.text
    adopt(service.database, service.settings.root)  # somebody says that this is the database
    assert len(sweep(service)) == 5
    assert [path.exists() for path in paths] == [True] * 3 + [False] * 5


def test_a_few_leftovers_among_many_go_and_come_back_from_the_trash(service: Service) -> None:
    paths = imported(service, 8)
    forget(service, paths[:1])
    assert sweep(service) == [str(paths[0])]
    [moved] = service.settings.root.glob("trash/*/prompts/*")
    assert (moved / "data").read_text() == paths[0].name


def test_another_database_sweeps_nothing(service: Service, tmp_path: Path) -> None:
    paths = imported(service, 2)
    other = Service(Settings(data_dir=tmp_path / "other", redis_url=None))
    other.settings = service.settings  # its database beside this folder
    with pytest.raises(WrongDeployment):
        sweep(other)
    other.close()
    assert all(path.exists() for path in paths)


def test_datasets_without_a_record_go_too(service: Service) -> None:
    lost = service.settings.root / "datasets" / "ds-lost.jsonl"
    lost.write_text("{}")
    assert sweep(service) == []
    age(lost)
    assert sweep(service) == [str(lost)]
    assert service.datasets.read(service.datasets.get("d", "ann").id)


def test_the_trash_is_emptied_after_its_days(service: Service) -> None:
    root = service.settings.root
    today = utc_now().date()
    for days, name in ((0, "new"), (14, "kept"), (15, "gone")):
        folder = root / "trash" / (today - datetime.timedelta(days=days)).isoformat()
        (folder / "prompts" / name).mkdir(parents=True)
    (root / "trash" / "mine").mkdir()
    assert len(sweep(service)) == 1
    left = {path.name for path in root.glob("trash/*/prompts/*")}
    assert left == {"new", "kept"}
    assert (root / "trash" / "mine").exists()


def test_jobs_of_long_ago_are_forgotten_and_their_prompts_stay(service: Service) -> None:
    job = submit(service, "old")
    held = claim(service, job)
    service.leases.succeed(held, record(job), {})
    kept = files(service, job)
    sweep(service)
    later = utc_now() + datetime.timedelta(days=91)
    service.clock = lambda: later
    sweep(service)
    assert service.list(None) == []
    assert service.prompts.get("old", "ann").id == record(job).id
    assert [path.exists() for path in kept].count(True) == 1  # its tensor
