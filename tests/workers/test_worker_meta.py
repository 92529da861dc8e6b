"""Jobs that train meta-prompts, through a real queue, database and worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tiny_model
from meta_jobs import TASKS, add_tasks, submit
from waiting import until
from worker_deployment import Deployment

from ptsys.errors import InvalidInput
from ptsys.library.domain import written_vectors
from ptsys.library.starts import read_start
from ptsys.prompts.safetensors_format import decode
from ptsys.training.written_start import shown_rows
from ptsys.types.example import Example
from ptsys.types.library import VECTOR_KINDS, Filters
from ptsys.types.records import JobState

pytestmark = pytest.mark.device


@pytest.fixture(scope="module")
def tasks(served: Deployment) -> Deployment:
    add_tasks(served)
    return served


def written(deployment: Deployment, meta: str, task: str) -> np.ndarray:
    """What it writes by the mean, of the rows of a task that a training with seed 0 shows it."""
    service = deployment.service
    rows = service.datasets.read(service.datasets.get(task, "ann").id)
    header = {
        "model": tiny_model.NAME,
        "meta": meta,
        "examples": [{"input": x.input, "target": x.target} for x in shown_rows(rows, 0)[:4]],
        "aggregate": "mean",
        "user": "ann",
    }
    told = deployment.asker().call(tiny_model.NAME, "emit", header, None, timeout=200)
    return decode(told[1] or b"")[0]


def test_joint_training_makes_a_meta_prompt_that_writes(tasks: Deployment) -> None:
    job = submit(tasks, "together")
    ended = tasks.wait(job)
    assert (ended.kind, ended.state, ended.step) == ("meta", JobState.SUCCEEDED, 30)
    record = tasks.service.prompts.get("together", "ann")
    assert (record.kind, record.id, record.dataset) == ("meta", ended.prompt, None)
    assert record.length == 5  # tokens: an output more than are averaged
    tree = tasks.tree(job)
    assert {name: x.shape for name, x in tree.items()} == {
        "tokens": (5, 32),
        "start": (4, 32),
        "tail": (4, 32, 32),
        "summary": (32, 32),
        "label": (32, 32),
        "embedding_scale": (1,),
        "domain": (3, 32),
    }
    scores = [event.data for event in tasks.events(job, "evaluation")]
    assert [score["step"] for score in scores] == [0, 10, 20, 30]
    assert all("accuracy/later" in score for score in scores[1:])
    best = max(score["accuracy"] for score in scores)
    assert record.scores["accuracy"] == pytest.approx(best)
    assert record.steps == next(x["step"] for x in scores if x["accuracy"] == best)
    losses = [e.data["loss"] for e in tasks.events(job, "progress") if "loss" in e.data]
    assert ended.metrics["loss"] < losses[0]
    told = record.hyperparameters["tasks"]
    assert told == [*({"name": x} for x in TASKS[:3]), {"name": "later", "held_out": True}]
    start = read_start(tasks.root, record.model_fingerprint)
    own = [written_vectors(written(tasks, "together", name), start) for name in TASKS[:3]]
    np.testing.assert_allclose(tree["domain"], np.mean(own, axis=0), atol=1e-4)

    again = submit(tasks, "onward", initialization={"kind": "prompt", "prompt": "together"})
    tasks.wait(again)
    parents = tasks.service.prompts.get("onward", "ann").parents
    assert [(parent.prompt, parent.role) for parent in parents] == [(record.id, "start")]


def test_regression_learns_from_tuned_prompts(tasks: Deployment) -> None:
    """Given, or tuned first in the same run: it is the same."""
    recipe = {"optimizer": {"kind": "adafactor", "learning_rate": 0.2}, "steps": 20, "length": 4}
    jobs = [tasks.submit(f"of-{name}", dataset=name, **recipe) for name in TASKS[:3]]
    for job in jobs:
        tasks.wait(job)
    named = [{"name": name, "dataset": name, "prompt": f"of-{name}"} for name in TASKS[:3]]
    spec = {"method": "regression", "aggregate": "mean", "steps": 60, "held_out": 0}
    job = submit(tasks, "compared", named, **spec)
    ended = tasks.wait(job)
    losses = [e.data["loss"] for e in tasks.events(job, "progress") if "loss" in e.data]
    assert ended.metrics["loss"] < 0.9 * losses[0]
    prompts = [tasks.service.prompts.read(str(tasks.job(one).prompt)) for one in jobs]
    library, tree = tasks.service.library, tasks.tree(job)
    for number, kind in enumerate(VECTOR_KINDS):
        pairs, _ = library.vectors(prompts[0].model_fingerprint, "ann", kind=kind, most=999)
        vectors = {one.id: vector for one, vector in pairs}
        mean = np.mean([vectors[one.id] for one in prompts], axis=0)
        np.testing.assert_allclose(tree["domain"][number], mean, atol=1e-5)
    near = library.search(prompts[0], "ann", filters=Filters(prompt_kind="meta"))
    assert {"compared", "together"} <= {one.prompt.name for one in near}
    source = {row.prompt for row in tasks.service.get(job.id, "ann").spec.tasks}  # type: ignore[union-attr]
    assert source == {*(tasks.job(one).prompt for one in jobs)}

    del named[0]["prompt"]
    own = {"tuning_steps": 20, "tuning_rate": 0.2}
    alone = submit(tasks, "tuned-first", named, **spec, **own)
    ended = tasks.wait(alone)
    assert (ended.step, ended.planned_steps) == (80, 80)
    for name, x in tasks.tree(job).items():
        np.testing.assert_allclose(tasks.tree(alone)[name], x, atol=1e-4, err_msg=name)
    record = tasks.service.prompts.get("tuned-first", "ann")
    assert (record.hyperparameters["tuning_steps"], record.steps) == (20, 60)
    told = [e.data["message"] for e in tasks.events(alone, "log")]
    assert told[-2:] == [
        "1 prompt is tuned first, 20 steps each",
        "the prompts are tuned: the meta-prompt learns",
    ]


def test_joint_training_learns_from_what_tuned_prompts_answer(tasks: Deployment) -> None:
    spec = {"answer_weight": 2.0, "tuning_steps": 10, "evaluate_every": 1000}
    job = submit(tasks, "distilled", **spec)
    ended = tasks.wait(job)
    assert ended.step == 3 * 10 + 30
    losses = [e.data["loss"] for e in tasks.events(job, "progress") if "loss" in e.data]
    assert ended.metrics["loss"] < losses[0]
    record = tasks.service.prompts.get("distilled", "ann")
    assert record.hyperparameters["answer_weight"] == 2.0


def test_what_a_worker_would_refuse_is_refused_at_submission(tasks: Deployment) -> None:
    tasks.wait(tasks.submit("plain", steps=2))
    named: list[Any] = [{"name": "a", "dataset": "colours", "prompt": "plain"}, "swapped"]
    regression = {"method": "regression", "held_out": 1}
    with pytest.raises(InvalidInput, match="a meta-prompt starts at another one") as refused:
        submit(tasks, "x", initialization={"kind": "prompt", "prompt": "plain"})
    assert refused.value.field == "initialization.prompt"
    tasks.wait(submit(tasks, "writer", steps=1, evaluate_every=50))
    named[0]["prompt"] = "writer"
    with pytest.raises(InvalidInput, match="a meta-prompt writes prompts") as refused:
        submit(tasks, "x", named, **regression)
    assert refused.value.field == "tasks.0.prompt"


def test_rows_that_cannot_be_shown_are_named(tasks: Deployment) -> None:
    tasks.add_rows("bare", [Example("red stone"), Example("blue river")])
    ended = tasks.ended(submit(tasks, "bare", ("colours", "bare"), held_out=0))
    assert ended.state is JobState.FAILED
    assert "task 'bare'" in (ended.error or "")


def test_patience_ends_it_early_and_keeps_the_best(tasks: Deployment) -> None:
    calm = {"kind": "sgd", "learning_rate": 1e-9}  # learns nothing, so no score is better
    job = submit(tasks, "patient", steps=100_000, patience=2, optimizer=calm)
    ended = tasks.wait(job)
    assert 20 <= ended.step < 100_000
    assert tasks.service.prompts.get("patient", "ann").steps == 0


def test_killed_and_drained_it_ends_as_it_would_have(deploy: Callable[..., Deployment]) -> None:
    deployment = deploy()
    add_tasks(deployment)
    long = {"steps": 400, "evaluate_every": 40, "checkpoint_every": 40}
    worker = deployment.start_worker().ready()
    through = submit(deployment, "through", **long)
    deployment.wait(through)
    job = submit(deployment, "broken", **long)
    reached = deployment.past_checkpoint(job, number=1, beyond=3)
    worker.kill()
    worker = deployment.start_worker()
    until(lambda: deployment.job(job).step > reached, 200)
    worker.terminate()
    assert deployment.job(job).state is JobState.QUEUED
    deployment.start_worker()
    deployment.wait(job)
    whole, resumed = deployment.tree(through), deployment.tree(job)
    for name, x in whole.items():
        np.testing.assert_allclose(resumed[name], x, rtol=0, atol=1e-5, err_msg=name)
    one, other = (deployment.service.prompts.get(name, "ann") for name in ("through", "broken"))
    assert (one.steps, one.scores) == (other.steps, pytest.approx(other.scores, abs=1e-4))


def test_killed_while_prompts_are_tuned_it_ends_as_it_would_have(
    deploy: Callable[..., Deployment],
) -> None:
    deployment = deploy()
    add_tasks(deployment)
    long = {"method": "regression", "aggregate": "mean", "held_out": 0, "tuning_steps": 800}
    long |= {"checkpoint_every": 50}
    worker = deployment.start_worker().ready()
    through = submit(deployment, "through", **long)
    deployment.wait(through)
    job = submit(deployment, "broken", **long)
    reached = deployment.past_checkpoint(job, number=1, beyond=3)
    worker.kill()
    assert reached < 4 * 800  # of the prompts
    before = deployment.job(job).metrics
    assert (before["prompts_to_tune"], before["steps"]) == (4, 3230)
    deployment.start_worker()
    assert deployment.wait(job).step == 3230
    log = [event.data["message"] for event in deployment.events(job, "log")]
    assert any(message.startswith("resumed from step") for message in log), log
    whole, resumed = deployment.tree(through), deployment.tree(job)
    for name, x in whole.items():
        np.testing.assert_allclose(resumed[name], x, rtol=0, atol=1e-4, err_msg=name)
