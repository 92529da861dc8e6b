"""Who owns a dataset, a prompt or a key may take it away, whoever's jobs need it."""

import pytest

from ptsys.errors import Conflict, JobCancelled, LeaseLost, NotFound
from ptsys.jobs.leases import Claim
from ptsys.jobs.service import Service
from ptsys.store.clock import utc_now
from ptsys.types.records import Job, JobState, Prompt
from ptsys.types.training import Initialization, TrainingSpec


@pytest.fixture
def public(service: Service) -> str:
    """Ann's dataset, which everybody may train on."""
    return service.datasets.share("reviews", "ann", visibility="public").id


def _claim(service: Service, job: Job) -> Claim:
    claim = service.leases.claim(job.id, "w")
    assert claim is not None
    return claim


def _prompt(service: Service, owner: str) -> Prompt:
    return service.prompts.add(
        Prompt(
            id=service.prompts.new_id(),
            name="start",
            owner=owner,
            visibility="public",
            model="tiny",
            model_fingerprint="f",
            length=16,
            d_model=64,
            created=utc_now(),
        )
    )


def test_a_deleted_dataset_ends_the_jobs_of_others_on_it(service: Service, public: str) -> None:
    spec = TrainingSpec(name="p", dataset=public)
    waits = service.submit(spec, "bob")
    runs = service.submit(spec.model_copy(update={"name": "q"}), "bob")
    other = service.submit(spec.model_copy(update={"name": "r", "dataset": "reviews"}), "bob")
    claim = _claim(service, runs)
    service.datasets.delete("reviews", "ann")
    with pytest.raises(NotFound):
        service.datasets.get(public, "ann")
    assert service.leases.claim(waits.id, "w") is None
    service.settle()
    ended = service.get(waits.id, "bob")
    why = "dataset ann/reviews, which it needs, was deleted by its owner"
    assert (ended.state, ended.error) == (JobState.CANCELLED, why)
    assert service.events(waits.id, "bob")[-1].data == {"state": "cancelled", "error": why}
    with pytest.raises(JobCancelled, match="was deleted by its owner"):
        service.wait(waits.id, "bob", timeout=1)
    assert service.leases.heartbeat(claim) is True  # its worker is told
    assert service.leases.cancelled(claim).error == why
    assert service.get(other.id, "bob").state is JobState.QUEUED


def test_a_run_that_misses_its_deleted_rows_says_why(service: Service, public: str) -> None:
    claim = _claim(service, service.submit(TrainingSpec(name="p", dataset=public), "bob"))
    service.datasets.delete("reviews", "ann")
    ended = service.leases.fail(claim, f"dataset {public} was deleted", retry=False)
    assert ended.state is JobState.CANCELLED
    assert "ann/reviews" in (ended.error or "")


def test_the_owners_own_job_still_forbids_it(service: Service, public: str) -> None:
    theirs = service.submit(TrainingSpec(name="p", dataset=public), "bob")
    own = service.submit(TrainingSpec(name="p", dataset="reviews"), "ann")
    with pytest.raises(Conflict, match=own.id):
        service.datasets.delete("reviews", "ann")
    service.settle()
    assert service.get(theirs.id, "bob").state is JobState.QUEUED  # all or nothing
    service.cancel(own.id, "ann")
    service.datasets.delete("reviews", "ann")


def test_a_dataset_no_longer_shared_ends_the_jobs_of_those_who_see_it_no_more(
    service: Service, public: str
) -> None:
    bob = service.submit(TrainingSpec(name="p", dataset=public), "bob")
    eve = service.submit(TrainingSpec(name="p", dataset=public), "eve")
    own = service.submit(TrainingSpec(name="p", dataset=public), "ann")
    service.datasets.share("reviews", "ann", visibility="shared", shared_with=["eve"])
    service.settle()
    assert service.get(bob.id, "bob").error == (
        "dataset ann/reviews, which it needs, is no longer shared with you"
    )
    for job in (eve, own):
        assert service.get(job.id, None).state is JobState.QUEUED


def test_a_deleted_prompt_ends_the_jobs_of_others_that_start_from_it(service: Service) -> None:
    start = _prompt(service, "ann")
    spec = TrainingSpec(
        name="p",
        dataset="reviews",
        initialization=Initialization(kind="prompt", prompt="ann/start"),
    )
    job = service.submit(spec, "bob")
    service.prompts.delete("start", "ann")
    service.settle()
    ended = service.get(job.id, "bob")
    assert ended.state is JobState.CANCELLED
    assert ended.error == "prompt ann/start, which it needs, was deleted by its owner"
    assert start.id not in [prompt.id for prompt in service.prompts.list("bob")]


@pytest.mark.parametrize("keep", [False, True])
def test_a_revoked_keys_jobs_end_unless_they_are_kept(service: Service, keep: bool) -> None:
    key, _ = service.keys.create("ann")
    other, _ = service.keys.create("ann")
    by_key = service.submit(TrainingSpec(name="p", dataset="reviews"), "ann", api_key=key.id)
    by_other = service.submit(TrainingSpec(name="q", dataset="reviews"), "ann", api_key=other.id)
    claim = _claim(service, by_key)
    service.keys.revoke(key.id, keep_jobs=keep)
    service.settle()
    assert service.leases.heartbeat(claim) is not keep
    if not keep:
        ended = service.leases.cancelled(claim)
        assert ended.error == f"the API key {key.id} that asked for it was revoked"
        with pytest.raises(LeaseLost):
            service.leases.progress(claim, 1, {})
    assert service.get(by_other.id, "ann").state is JobState.QUEUED


def test_a_job_that_was_to_end_does_not_succeed_afterwards(service: Service, public: str) -> None:
    claim = _claim(service, service.submit(TrainingSpec(name="p", dataset=public), "bob"))
    service.datasets.delete("reviews", "ann")
    made = _prompt(service, "eve").model_copy(
        update={"id": service.prompts.new_id(), "name": "p", "owner": "bob"}
    )
    ended = service.leases.succeed(claim, made, {})
    assert (ended.state, "was deleted" in (ended.error or "")) == (JobState.CANCELLED, True)
