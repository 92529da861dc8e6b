"""Augmentation jobs at the door: their datasets, their query, and what each of them needs."""

from typing import Any

import pytest

from ptsys.errors import Conflict, InvalidInput, NotFound
from ptsys.jobs.service import Service
from ptsys.store.clock import utc_now
from ptsys.types.augmentation import AugmentSpec
from ptsys.types.example import Example
from ptsys.types.records import Prompt


def spec(name: str = "a", **fields: Any) -> AugmentSpec:
    return AugmentSpec.model_validate({"name": name, "dataset": "many", **fields})


@pytest.fixture(autouse=True)
def many(service: Service) -> str:
    rows = [Example(f"film {n}", "good") for n in range(8)]
    return service.datasets.add("many", "ann", rows).id


def prompt(service: Service, name: str, owner: str = "ann", **fields: Any) -> Prompt:
    made = Prompt(
        id=service.prompts.new_id(),
        name=name,
        owner=owner,
        created=utc_now(),
        **{"model": "tiny", "model_fingerprint": "f", "length": 16, "d_model": 1, **fields},
    )
    return service.prompts.add(made)


def test_it_comes_back_with_ids_in_place_of_names(service: Service, many: str) -> None:
    query = prompt(service, "q")
    job = service.submit(spec(query="q", validation="reviews"), "ann")
    found = service.get(job.id, "ann")
    assert (found, found.kind) == (job, "augment")
    assert isinstance(found.spec, AugmentSpec)
    assert (found.spec.query, found.spec.dataset) == (query.id, many)
    assert found.spec.validation == service.datasets.get("reviews", "ann").id
    for held in ("many", "reviews"):
        with pytest.raises(Conflict, match=job.id):
            service.datasets.delete(held, "ann")
    with pytest.raises(Conflict, match=job.id):
        service.submit(spec(strategy="curriculum"), "ann")


def test_its_steps_are_told_before_its_worker_knows(service: Service) -> None:
    job = service.submit(
        spec(strategy="curriculum", query_steps=10, second_steps=20, steps=30, rounds=2), "ann"
    )
    assert job.planned_steps == 10 + 2 * (3 * 20 + 30)
    told = job.model_copy(update={"metrics": {"steps": 7.0}})
    assert told.planned_steps == 7


@pytest.mark.parametrize(
    ("fields", "error", "field", "told"),
    [
        ({"dataset": "reviews"}, InvalidInput, "validation", "give 8"),
        ({"query": "nope"}, NotFound, None, "nope"),
        ({"query": "bob/theirs"}, NotFound, None, "theirs"),
        ({"query": "long"}, InvalidInput, "query", "set length to 20"),
        ({"query": "layers"}, InvalidInput, "query", "of the kind 'deep'"),
        ({"query": "foreign"}, InvalidInput, "query", "belongs to model 'other'"),
        ({"dataset": "bob/reviews"}, NotFound, None, "reviews"),
    ],
)
def test_what_cannot_work_is_refused(
    service: Service, fields: dict[str, Any], error: type[Exception], field: str, told: str
) -> None:
    prompt(service, "long", length=20)
    prompt(service, "layers", kind="deep")
    prompt(service, "foreign", model="other")
    prompt(service, "theirs", "bob")
    with pytest.raises(error, match=told) as caught:
        service.submit(spec(**fields), "ann")
    assert getattr(caught.value, "field", None) == field
    if field == "validation":  # a single strategy needs no rows to choose by
        service.submit(spec(**fields, strategy="multitask"), "ann")
