"""While a service is upgraded, two versions of it read the same records."""

from pathlib import Path

import pytest
from sqlalchemy import update

from ptsys.config import Settings
from ptsys.jobs.service import Service
from ptsys.store.tables import JobRow
from ptsys.types.example import Example
from ptsys.types.records import JobState
from ptsys.types.training import Optimizer, TrainingSpec
from workers.run import spec_identity

SPEC = TrainingSpec(name="reviews", model="tiny", dataset="colours", steps=7)


@pytest.fixture
def service(tmp_path: Path) -> Service:
    service = Service(Settings(data_dir=tmp_path))
    service.datasets.add("colours", "ann", [Example("a", "red")])
    return service


def test_a_job_that_a_newer_version_wrote_is_listed_read_and_cancelled(service: Service) -> None:
    job = service.submit(SPEC, "ann")
    newer = {**job.spec.model_dump(mode="json"), "field_of_the_next_version": False}
    newer["optimizer"] = {**newer["optimizer"], "another": 0.5}
    with service.database.session() as session:
        session.execute(update(JobRow).where(JobRow.id == job.id).values(spec=newer))
    assert service.get(job.id, "ann").spec == job.spec
    assert [one.id for one in service.list("ann")] == [job.id]
    assert service.cancel(job.id, "ann").state is JobState.CANCELLED
    service.close()


def test_a_field_that_is_new_does_not_part_a_job_from_its_checkpoints() -> None:
    told = spec_identity(SPEC)
    assert told["steps"] == 7
    assert "checkpoint_every" not in told  # as if this version had just got it


def test_what_was_chosen_still_belongs_to_a_checkpoint() -> None:
    other = SPEC.model_copy(update={"optimizer": Optimizer(kind="sgd", learning_rate=0.5)})
    assert spec_identity(other) != spec_identity(SPEC)
