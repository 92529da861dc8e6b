"""Multi-task jobs at the door: their names, their datasets, and who may pair which prompts."""

from typing import Any

import pytest

from ptsys.errors import Conflict, InvalidInput, NotFound
from ptsys.jobs.service import Service
from ptsys.store.clock import utc_now
from ptsys.types.example import Example
from ptsys.types.multitask import MultiTaskSpec
from ptsys.types.records import JobState, Prompt
from ptsys.types.training import TrainingSpec


def spec(name: str = "m", **fields: Any) -> MultiTaskSpec:
    tasks = [{"name": "a", "dataset": "reviews"}, {"name": "b", "dataset": "moods"}]
    return MultiTaskSpec.model_validate({"name": name, "tasks": tasks, **fields})


@pytest.fixture
def moods(service: Service) -> str:
    return service.datasets.add("moods", "ann", [Example("sad", "blue")]).id


def prompt(service: Service, name: str, owner: str = "ann", **fields: Any) -> Prompt:
    made = Prompt(
        id=service.prompts.new_id(),
        name=name,
        owner=owner,
        model="tiny",
        created=utc_now(),
        **{"model_fingerprint": "f", "length": 1, "d_model": 1, **fields},
    )
    return service.prompts.add(made)


def test_it_comes_back_with_ids_in_place_of_names(service: Service, moods: str) -> None:
    job = service.submit(spec(), "ann")
    found = service.get(job.id, "ann")
    assert (found, found.kind) == (job, "multitask")
    assert isinstance(found.spec, MultiTaskSpec)
    assert [task.dataset for task in found.spec.tasks] == [
        service.datasets.get("reviews", "ann").id,
        moods,
    ]
    with pytest.raises(NotFound, match="moods"):
        service.submit(spec(), "bob")


def test_its_own_datasets_stay_until_it_ends_and_anothers_deletion_ends_it(
    service: Service, moods: str
) -> None:
    service.datasets.share("moods", "ann", visibility="public")
    job = service.submit(
        spec(tasks=[{"name": "a", "dataset": "reviews", "validation": "ann/moods"}]), "bob"
    )
    with pytest.raises(Conflict, match=job.id):
        service.datasets.delete("reviews", "bob")
    service.datasets.delete("moods", "ann")
    service.settle()
    ended = service.get(job.id, "bob")
    assert ended.state is JobState.CANCELLED
    assert "ann/moods" in (ended.error or "")
    service.datasets.delete("reviews", "bob")


def test_all_its_names_are_its_own_while_it_runs(service: Service, moods: str) -> None:
    def single(name: str) -> TrainingSpec:
        return TrainingSpec(name=name, dataset="reviews")

    prompt(service, "taken.b")
    with pytest.raises(Conflict, match=r"taken\.b"):
        service.submit(spec("taken"), "ann")
    job = service.submit(spec("m.x"), "ann")
    for wrong in (single("m.x"), single("m.x.a"), spec("m.x", tasks=spec().tasks[:1])):
        with pytest.raises(Conflict, match=job.id):
            service.submit(wrong, "ann")
    with pytest.raises(Conflict, match=job.id):
        prompt(service, "m.x.b")
    nested = [{"name": "x", "dataset": "reviews"}, {"name": "x.b", "dataset": "reviews"}]
    with pytest.raises(Conflict, match=job.id):
        service.submit(spec("m", tasks=nested), "ann")
    service.submit(single("m.x.c"), "ann")
    service.submit(single("m"), "ann")
    service.cancel(job.id, "ann")
    service.submit(single("m.x.a"), "ann")


def test_a_pair_needs_both_to_be_seen_and_to_fit(service: Service) -> None:
    prompts = service.prompts
    general = prompt(service, "g")
    task = prompt(service, "g.t", general=general.id, combination="add", task="t")
    other = prompt(service, "h", owner="bob")
    strange = prompt(service, "s", model_fingerprint="other")
    assert prompts.general_of(task, "ann") == general
    assert prompts.general_of(task, "bob", "h") == other
    with pytest.raises(NotFound, match=rf"'g\.t' is used with the general prompt {general.id}"):
        prompts.general_of(task, "bob")
    with pytest.raises(NotFound, match="bob/h"):
        prompts.general_of(task, "ann", "bob/h")
    for one, named, text in (
        (general, "s", "not task-specific"),
        (task, "g.t", "itself task-specific"),
        (task, "s", "fingerprint other"),
    ):
        with pytest.raises(InvalidInput, match=text) as caught:
            prompts.general_of(one, "ann", named)
        assert caught.value.field == "general"
    assert prompts.linked(general, "ann") == [task]
    assert prompts.linked(general, "bob") == []
    assert strange.id
