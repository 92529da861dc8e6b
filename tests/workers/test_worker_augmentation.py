"""Augmentation jobs through a real queue, database and worker."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tiny_model
from waiting import until
from worker_deployment import Deployment

from ptsys.prompts.storage import load_tree, save_tree
from ptsys.types.example import Example
from ptsys.types.records import Job, JobState, Prompt, Visibility

pytestmark = pytest.mark.device


def teach(
    deployment: Deployment,
    name: str,
    rows: list[Example],
    owner: str = "bob",
    prompt: Visibility = "public",
    dataset: Visibility = "public",
) -> str:
    """A trained prompt of the library and its dataset; the prompt's id."""
    deployment.service.datasets.add(name, owner, rows, visibility=dataset)
    deployment.wait(deployment.submit(name, owner, dataset=name))
    return deployment.service.prompts.update(name, owner, visibility=prompt).id


@pytest.fixture(scope="module")
def library(served: Deployment) -> Deployment:
    """What ann may see of bob's: `near` and `far` whole, of `bare` the prompt alone; eve's
    `secret`, of ann's very rows and so the nearest of all, she may not see."""
    opposite = {"red": "blue", "blue": "red"}
    rows = tiny_model.rows()
    teach(served, "near", tiny_model.rows(40, seed=2))
    teach(served, "far", [Example(row.input, opposite[row.target or ""]) for row in rows])
    teach(served, "bare", tiny_model.rows(40, seed=5), dataset="private")
    teach(served, "secret", rows, "eve", "private", "private")
    return served


def result(deployment: Deployment, job: Job, viewer: str = "ann") -> Prompt:
    return deployment.service.prompts.get(deployment.wait(job).prompt or "", viewer)


def ids(deployment: Deployment, *names: str) -> set[str]:
    return {deployment.service.prompts.get(name, name.split("/")[0]).id for name in names}


def logged(deployment: Deployment, job: Job, key: str) -> list[Any]:
    events = deployment.events(job, "log")
    return [event.data[key] for event in events if key in event.data]


@pytest.mark.parametrize("strategy", ["curriculum", "multitask", "initialization", "auto"])
def test_a_strategy_makes_a_prompt_with_its_provenance(library: Deployment, strategy: str) -> None:
    job = library.submit_augmentation(strategy, strategy=strategy)
    made = result(library, job)
    assert (made.name, made.length, made.dataset) == (strategy, 8, job.spec.dataset)
    assert made.hyperparameters["strategy"] == strategy
    seen = ids(library, "bob/near", "bob/far", "bob/bare")
    with_rows = ids(library, "bob/near", "bob/far")
    seconds = {parent.prompt for parent in made.parents if parent.role == "second"}
    candidate = made.hyperparameters["candidate"]
    if candidate in ("curriculum", "multitask"):
        assert seconds == with_rows
        assert made.initialization == {"kind": "shared"}
    if strategy == "initialization":
        [start] = [parent for parent in made.parents if parent.role == "start"]
        assert (start.prompt in seen, start.weight) == (True, 1.0)
        assert made.initialization == {"kind": "prompt"}
    ended = library.job(job)
    assert ended.step == ended.planned_steps == ended.metrics["steps"]
    [found] = logged(library, job, "seconds")
    assert {one["prompt"] for one in found} == seen
    order = [one["similarity"] for one in found]
    assert order == sorted(order, reverse=True)
    assert not library.events(job, "log")[0].data["message"].startswith("resumed")


def test_auto_tells_all_scores_and_keeps_the_best(library: Deployment) -> None:
    library.add_rows("dev", tiny_model.rows(24, seed=7))
    job = library.submit_augmentation("chosen", validation="dev", rounds=2, budget=200)
    made, ended = result(library, job), library.job(job)
    assert ended.step <= 200
    [candidates] = logged(library, job, "candidates")
    assert set(candidates) == {"curriculum", "multitask", "initialization", "second", "query"}
    assert made.scores["accuracy"] == max(x["accuracy"] for x in candidates.values())
    for name, scores in candidates.items():
        assert ended.metrics[f"accuracy/{name}"] == scores["accuracy"]
    assert len(logged(library, job, "seconds")) == 2


def test_what_the_rows_alone_gave_is_recorded_where_it_is_known(library: Deployment) -> None:
    """In later rounds the query is a result, and a stored query is its own prompt's score."""
    library.add_rows("dev-1", tiny_model.rows(24, seed=8))
    one = library.submit_augmentation("one-round", validation="dev-1", budget=120)
    plain = result(library, one).scores["plain_accuracy"]
    [candidates] = logged(library, one, "candidates")
    assert plain == candidates["query"]["accuracy"]
    two = library.submit_augmentation("two-rounds", validation="dev-1", rounds=2, budget=120)
    assert "plain_accuracy" not in result(library, two).scores


def test_what_a_user_may_not_see_is_never_used_or_told(library: Deployment) -> None:
    prompts, datasets = library.service.prompts, library.service.datasets
    job = library.submit_augmentation("careful", neighbours=32, rounds=2)
    result(library, job)
    told = json.dumps([event.data for event in library.events(job)])
    secret, hidden = prompts.get("secret", "eve"), datasets.get("bare", "bob")
    assert secret.id not in told
    assert str(secret.dataset) not in told
    assert hidden.id not in told
    assert prompts.get("bare", "bob").id in told
    for name in ("near", "far", "bare", "secret", "red stone"):
        assert f'"{name}"' not in told
    stored = prompts.read(library.job(job).prompt or "")
    assert secret.id not in {parent.prompt for parent in stored.parents}
    for_eve = library.submit_augmentation("other", "eve", dataset="colours", neighbours=32)
    result(library, for_eve, "eve")
    assert secret.id in json.dumps(logged(library, for_eve, "seconds"))


def test_provenance_is_told_as_far_as_a_viewer_may_see(library: Deployment) -> None:
    prompts = library.service.prompts
    rows = tiny_model.rows(30, seed=11)
    lent = teach(library, "lent", rows, "eve", "private", "private")
    prompts.update("lent", "eve", visibility="shared", shared_with=["ann"])
    library.service.datasets.share("lent", "eve", visibility="shared", shared_with=["ann"])
    job = library.submit_augmentation("open", strategy="curriculum", neighbours=4)
    made = result(library, job)
    prompts.update("open", "ann", visibility="public")
    assert lent in {parent.prompt for parent in made.parents}
    for_bob = prompts.get("ann/open", "bob").parents
    assert {parent.prompt for parent in for_bob} == ids(library, "bob/near", "bob/far")
    library.service.datasets.share("lent", "eve", visibility="private")
    prompts.update("lent", "eve", visibility="private")
    assert lent not in {parent.prompt for parent in prompts.get("open", "ann").parents}


def test_a_query_of_the_users_own_is_used_as_it_is(library: Deployment) -> None:
    library.wait(library.submit("asked"))
    query = library.service.prompts.get("asked", "ann")
    job = library.submit_augmentation("from-query", strategy="curriculum", query="asked")
    made = result(library, job)
    assert made.parents[0].model_dump() == {
        "prompt": query.id,
        "role": "query",
        "similarity": None,
        "weight": None,
    }
    assert made.initialization == {"kind": "prompt"}
    assert query.id not in {one["prompt"] for one in logged(library, job, "seconds")[0]}
    assert made.steps == 3 * 20
    assert query.id not in json.dumps(made.hyperparameters)


def test_nothing_alike_ends_as_plain_training(library: Deployment) -> None:
    job = library.submit_augmentation("lonely", strategy="curriculum", minimum_similarity=2)
    made = result(library, job)
    assert (made.steps, made.parents, made.hyperparameters["candidate"]) == (40, (), "plain")
    assert any("plain training" in text for text in logged(library, job, "message"))


def test_it_is_cancelled_at_once(library: Deployment) -> None:
    job = library.submit_augmentation("doomed", strategy="auto", second_steps=100_000)
    until(lambda: "second-1" in logged(library, job, "stage"), 200)
    library.service.cancel(job.id, "ann")
    assert library.ended(job, 20).state is JobState.CANCELLED
    until(lambda: not (library.root / "jobs" / job.id).exists(), 10)


def test_killed_and_drained_it_resumes_at_its_stage_with_the_same_neighbours(
    deploy: Callable[..., Deployment],
) -> None:
    deployment = deploy()
    prompts = deployment.service.prompts
    worker = deployment.start_worker().ready()
    near = teach(deployment, "near", tiny_model.rows(40, seed=2))
    teach(deployment, "far", tiny_model.rows(40, seed=3)[::-1])
    long = {"strategy": "curriculum", "second_steps": 250, "steps": 250, "batch_size": 48}
    through = deployment.submit_augmentation("through", **long)
    deployment.wait(through)

    job = deployment.submit_augmentation("broken", **long)
    until(lambda: "second-2" in logged(deployment, job, "stage"), 200)
    until(lambda: max(deployment.checkpoints(job)) > 290, 200)
    worker.kill()
    copy = prompts.get(near, "bob").model_copy(
        update={"id": prompts.new_id(), "name": "newer", "job": None}
    )
    save_tree(prompts.tensor_path(copy.id), load_tree(prompts.tensor_path(near)))
    prompts.add(copy)  # a search anew would find it

    worker = deployment.start_worker()
    until(lambda: deployment.job(job).step > 560, 200)
    worker.terminate()
    left = deployment.job(job)
    assert (left.state, left.attempts) == (JobState.QUEUED, 0)  # progress clears the kill
    deployment.start_worker()
    made = result(deployment, job)
    resumed = [text for text in logged(deployment, job, "message") if text.startswith("resumed")]
    steps = [int(text.removeprefix("resumed from step ")) for text in resumed]
    assert 290 < steps[0] < 520
    assert steps[1] == left.step
    assert len(logged(deployment, job, "seconds")) == 1
    assert copy.id not in {parent.prompt for parent in made.parents}
    assert made.steps == 20 + 3 * 250
    assert np.array_equal(deployment.tensor(job), deployment.tensor(through))
