"""What a user stores is counted, prompts to come included, and refused when it is too much."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ptsys.errors import InvalidInput, StorageUsedUp, TooLarge
from ptsys.jobs.limits import read_shape
from ptsys.jobs.promises import stored_size
from ptsys.jobs.service import Service
from ptsys.kinds.registry import STORED_KINDS, prompt_kind
from ptsys.store.clock import utc_now
from ptsys.store.tables import DatasetRow
from ptsys.types.example import Example
from ptsys.types.multitask import MultiTaskSpec
from ptsys.types.records import Prompt
from ptsys.types.storage import Quota, Usage
from ptsys.types.training import TrainingSpec

ROWS = [Example("good", "yes")]
ROOM = Quota(bytes=10_000, objects=4)


def _prompt(service: Service, name: str) -> Prompt:
    return Prompt(
        id=service.prompts.new_id(),
        name=name,
        owner="kim",
        model="tiny",
        model_fingerprint="f",
        length=2,
        d_model=4,
        created=utc_now(),
        bytes=32,
    )


def test_datasets_prompts_and_coming_prompts_count(service: Service) -> None:
    assert service.storage.usage("kim") == Usage(bytes=0, objects=0)
    made = service.datasets.add("a", "kim", ROWS, quota=ROOM)
    size = service.datasets.path(made.id).stat().length
    assert made.bytes == size > 0
    service.prompts.add(_prompt(service, "p"), quota=ROOM)
    promised = Usage(bytes=5000, objects=2)
    spec = TrainingSpec(name="q", dataset="a")
    job = service.submit(spec, "kim", quota=ROOM, promised=promised)
    assert service.storage.usage("kim") == Usage(bytes=size + 32 + 5000, objects=4)
    with pytest.raises(StorageUsedUp, match="4 datasets and prompts"):
        service.datasets.add("b", "kim", ROWS, quota=ROOM)
    service.cancel(job.id, "kim")
    assert service.storage.usage("kim") == Usage(bytes=size + 32, objects=2)
    service.datasets.add("b", "kim", ROWS, quota=ROOM)


def test_bytes_are_refused_when_they_do_not_fit_or_never_will(service: Service) -> None:
    small = Quota(bytes=100, objects=10)
    long = [Example("x" * 90, "yes")]
    with pytest.raises(TooLarge, match="more than the 100"):
        service.datasets.add("long", "kim", long, quota=small)
    service.datasets.add("a", "kim", ROWS, quota=small)
    with pytest.raises(StorageUsedUp, match="may store 100"):
        service.datasets.add("b", "kim", [Example("x" * 50, "y")], quota=small)
    with pytest.raises(StorageUsedUp):
        service.storage.refuse_more("kim", small, Usage(bytes=80, objects=1))
    left = [path.name for path in service.datasets.path("x").parent.iterdir()]
    assert len(left) == 3  # ann's, bob's and one of kim's: nothing of those that were refused


def test_datasets_of_before_are_measured_when_they_are_counted(service: Service) -> None:
    made = service.datasets.add("a", "kim", ROWS)
    with service.database.session() as session:
        session.get_one(DatasetRow, made.id).bytes = None
    assert service.storage.usage("kim").bytes == made.bytes
    assert service.datasets.get("a", "kim").bytes == made.bytes


def test_at_the_same_moment_no_more_get_in_than_there_is_room_for(service: Service) -> None:
    def add(number: int) -> bool:
        try:
            service.datasets.add(f"d{number}", "kim", ROWS, quota=ROOM)
        except StorageUsedUp:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        added = list(pool.map(add, range(12)))
    assert added.count(True) == service.storage.usage("kim").objects == 4


@pytest.mark.parametrize(
    ("changes", "numbers"),
    [
        ({"combination": "concat", "length": 6, "task_length": 4}, 6 * 8 + 2 * 4 * 8),
        ({"combination": "add", "length": 6}, 6 * 8 + 2 * 6 * 8),
    ],
)
def test_what_a_multitask_job_will_store(
    service: Service, changes: dict[str, object], numbers: int
) -> None:
    tasks = [{"name": name, "dataset": name} for name in ("a", "b")]
    spec = MultiTaskSpec.model_validate({"name": "m", "tasks": tasks, **changes})
    model = dataclasses.replace(read_shape(service.settings.root, "tiny"), d_model=8)
    assert stored_size(spec, model) == Usage(bytes=4 * numbers, objects=3)


@pytest.mark.parametrize("kind", STORED_KINDS)
def test_a_job_will_store_what_a_prompt_of_its_kind_is_made_of(service: Service, kind: str) -> None:
    model = read_shape(service.settings.root, "tiny")
    made = prompt_kind(kind).start(np.zeros((5, model.d_model), np.float32), model)
    spec = TrainingSpec(name="q", dataset="a", length=5, prompt_kind=kind)
    counted = sum(array.nbytes for array in made.values())
    assert stored_size(spec, model) == Usage(bytes=counted, objects=1)


def test_a_kind_that_no_job_makes_has_no_size(service: Service) -> None:
    spec = TrainingSpec(name="q", dataset="a", prompt_kind="affine")
    with pytest.raises(InvalidInput, match="choose tokens") as raised:
        stored_size(spec, read_shape(service.settings.root, "tiny"))
    assert raised.value.field == "prompt_kind"
