"""While a service is upgraded, two versions of it read the same records."""

from pathlib import Path

import pytest
from sqlalchemy import update

from ptsys.config import Settings
from ptsys.jobs.service import Service
from ptsys.store.tables import JobRow
from ptsys.types.example import Example
from ptsys.types.records import JobState
from ptsys.types.training import TrainingSpec

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
