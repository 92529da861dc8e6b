"""Multi-task jobs through a real queue, database and worker."""

import json
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tiny_model
from waiting import until
from worker_deployment import Deployment

from ptsys.engine.engine import Engine
from ptsys.engine.workbench import load_workbench
from ptsys.errors import Conflict, InvalidInput, NotFound
from ptsys.prompts.multitask import TaskPart
from ptsys.prompts.storage import load_part
from ptsys.store.prompts import insert_prompt
from ptsys.types.example import Example
from ptsys.types.records import Job, JobState, Prompt
from ptsys.types.requests import Decoding, PredictRequest
from ptsys.types.training import Initialization, Optimizer

pytestmark = pytest.mark.device
INPUTS = ("red stone house", "quick river")
TASKS = ("colours", "swapped", "plain")
LONG = {"steps": 300, "checkpoint_every": 40, "batch_size": 48, "combination": "affine"}


def add_tasks(deployment: Deployment) -> None:
    """Beside `colours` one that wants the opposite answers, and one without answers."""
    rows = tiny_model.rows()
    opposite = {"red": "blue", "blue": "red"}
    draw = random.Random(4)
    texts = [" ".join(draw.choices([row.input for row in rows], k=2)) for _ in range(30)]
    deployment.add_rows("swapped", [Example(x.input, opposite[x.target or ""]) for x in rows])
    deployment.add_rows("plain", [Example(text) for text in texts])
    deployment.add_rows("checked", tiny_model.rows(12, seed=9))


@pytest.fixture(scope="module")
def tasks(served: Deployment) -> Deployment:
    add_tasks(served)
    return served


def stored(deployment: Deployment, job: Job) -> dict[str, tuple[Prompt, TaskPart]]:
    """All prompts of a job by name, with their tensors."""
    found = [x for x in deployment.service.prompts.list("ann", limit=1000) if x.job == job.id]
    path = deployment.service.prompts.tensor_path
    return {prompt.name: (prompt, load_part(path(prompt.id))) for prompt in found}


@pytest.mark.parametrize("combination", ["add", "concat", "affine"])
def test_a_job_of_three_tasks_makes_linked_prompts_and_learns(
    tasks: Deployment, combination: str
) -> None:
    specs = [
        {"name": name, "dataset": name, **({"validation": "checked"} if name != "plain" else {})}
        for name in TASKS
    ]
    job = tasks.submit_tasks(
        combination,
        TASKS,
        tasks=specs,
        steps=150,
        combination=combination,
        task_length=6,
        evaluate_every=75,
        checkpoint_every=50,
        mixing="equal",
        initialization=Initialization(kind="labels"),
    )
    ended = tasks.wait(job)
    assert (ended.kind, ended.state, ended.step) == ("multitask", JobState.SUCCEEDED, 150)
    losses = [f"loss/{name}" for name in TASKS]
    assert {"loss", "gradient_norm", *losses} <= set(ended.metrics)
    progress = [event.data for event in tasks.events(job, "progress")]
    reached = {name: ended.metrics[name] for name in losses}  # they start near log(320) = 5.8
    assert (reached["loss/colours"] < 4.5, reached["loss/swapped"] < 4.5) == (True, True), reached
    assert reached["loss/plain"] < 5.6, reached
    assert progress[-1]["step"] == 150
    scores = [event.data for event in tasks.events(job, "evaluation")]
    assert [score["step"] for score in scores] == [75, 150]
    mean = (scores[-1]["accuracy/colours"] + scores[-1]["accuracy/swapped"]) / 2
    assert scores[-1]["accuracy"] == pytest.approx(mean)
    assert "accuracy/plain" not in scores[-1]
    assert tasks.checkpoints(job) == [50, 100]

    made = stored(tasks, job)
    assert set(made) == {combination, *(f"{combination}.{name}" for name in TASKS)}
    general, part = made[combination]
    assert general.id == ended.prompt == "pr-" + job.id.removeprefix("job-")
    assert (general.general, general.task, general.length) == (None, None, 6)
    assert part.rows is not None
    for name in TASKS:
        record, own = made[f"{combination}.{name}"]
        assert (record.general, record.combination) == (general.id, combination)
        assert (record.task, record.length) == (name, 6)
        assert record.dataset == tasks.service.datasets.get(name, "ann").id
        assert record.scores["train_loss"] == pytest.approx(ended.metrics[f"loss/{name}"])
        combined = own.with_general(part.rows, combination)  # type: ignore[arg-type]
        assert combined.shape == (6 if combination == "add" else 12, tiny_model.D_MODEL)
    assert not (tasks.root / "jobs" / job.id).exists()
    with pytest.raises(Conflict, match=rf"{combination}\.colours"):
        tasks.service.prompts.delete(combination, "ann")
    for name in TASKS:
        tasks.service.prompts.delete(f"{combination}.{name}", "ann")
    tasks.service.prompts.delete(combination, "ann")


def ask(deployment: Deployment, user: str, **fields: Any) -> list[float]:
    """The scores of a label for a few inputs."""
    labels = Decoding(labels=("red", "blue"))
    request = PredictRequest(model=tiny_model.NAME, inputs=INPUTS, decoding=labels, **fields)
    header = request.model_dump(mode="json") | {"user": user}
    asker = deployment.asker()
    answers = asker.call(tiny_model.NAME, "predict", header, None, timeout=200)[0]
    return [row["label_scores"]["red"] for row in answers["predictions"]]


def test_any_pair_of_general_and_task_specific_prompt_answers(tasks: Deployment) -> None:
    jobs = {
        name: tasks.submit_tasks(name, TASKS[:2], steps=6, combination="affine", **fields)
        for name, fields in {"one": {}, "two": {"seed": 7}, "wide": {"length": 9}}.items()
    }
    parts: dict[str, TaskPart] = {}
    for job in jobs.values():
        tasks.wait(job)
        parts |= {name: part for name, (_, part) in stored(tasks, job).items()}
    tasks.wait(tasks.submit("alone", steps=6, length=6))
    engine = Engine(load_workbench(tasks.root, tiny_model.NAME).served).start()
    try:
        for task, general in (("one.colours", "one"), ("one.colours", "two")):
            rows = parts[general].rows
            assert rows is not None
            combined = parts[task].with_general(rows, "affine")
            labels = Decoding(labels=("red", "blue"))
            wanted = engine.predict(INPUTS, combined, labels).result(200)
            named = {} if general == "one" else {"general": general}
            scores = [(row.label_scores or {})["red"] for row in wanted]
            assert ask(tasks, "ann", prompt=task, **named) == pytest.approx(scores, abs=1e-4)
    finally:
        engine.close()
    ask(tasks, "ann", prompt="one.colours", general="alone")  # that of a job of one prompt
    ask(tasks, "ann", prompts=("one.colours", "alone"))
    for fields, error, text in (
        ({"prompt": "one.colours", "general": "wide"}, InvalidInput, "'wide' do not fit"),
        ({"prompt": "one", "general": "two"}, InvalidInput, "not task-specific"),
        ({"prompt": "one.colours", "general": "two.colours"}, InvalidInput, "itself"),
        ({"general": "two"}, InvalidInput, "goes with a stored task-specific one"),
        ({"prompt": "one.colours", "general": "nope"}, NotFound, "nope"),
    ):
        with pytest.raises(error, match=text) as caught:
            ask(tasks, "ann", **fields)
        assert getattr(caught.value, "field", "general") == "general"

    prompts = tasks.service.prompts
    prompts.update("one.colours", "ann", visibility="shared", shared_with=["bob"])
    with pytest.raises(NotFound, match=f"general prompt {prompts.get('one', 'ann').id}"):
        ask(tasks, "bob", prompt="ann/one.colours")
    prompts.update("two", "ann", visibility="public")
    assert ask(tasks, "bob", prompt="ann/one.colours", general="ann/two")


def test_the_general_prompt_alone_can_be_projected(tasks: Deployment) -> None:
    job = tasks.submit_tasks("bare", TASKS, steps=4, combination="affine", task_length=0)
    tasks.wait(job)
    made = stored(tasks, job)
    record, part = made["bare.plain"]
    assert (record.length, part.rows) == (0, None)
    assert part.affine is not None
    assert part.affine.matrix.shape == (6, 6)
    again = tasks.submit(
        "heir", steps=2, initialization=Initialization(kind="prompt", prompt="bare.plain")
    )
    tasks.wait(again)


def test_a_job_whose_tasks_name_is_taken_meanwhile_records_nothing(tasks: Deployment) -> None:
    """Only a prompt made past every check can do that; then no half of a job is recorded."""
    job = tasks.submit_tasks("taken", TASKS, steps=60)
    until(lambda: tasks.job(job).step > 0, 200)
    stranger = tasks.service.prompts.list("ann", limit=1)[0].model_copy(
        update={"id": "pr-stranger", "name": "taken.plain", "general": None, "job": None}
    )
    with tasks.service.database.session() as session:
        insert_prompt(session, stranger)
    ended = tasks.ended(job)
    assert ended.state is JobState.FAILED
    assert "taken.plain" in (ended.error or "")
    assert stored(tasks, job) == {}


def test_a_broken_task_is_named(tasks: Deployment) -> None:
    tasks.add_rows("short", [Example("red stone", "red"), Example("")])
    for name, fields, expected in (
        ("short-rows", {"datasets": ("colours", "short")}, "task 'short': row 2 has no 'target'"),
        (
            "wild",
            {"optimizer": Optimizer(kind="sgd", learning_rate=1000, weight_decay=0.9)},
            "no longer finite",
        ),
    ):
        ended = tasks.ended(tasks.submit_tasks(name, **{"datasets": TASKS, **fields}))
        assert ended.state is JobState.FAILED
        assert ended.attempts == 1
        assert expected in (ended.error or ""), ended.error


def test_rows_without_a_target_train_a_single_job_too(tasks: Deployment) -> None:
    job = tasks.submit("corrupted", dataset="plain", steps=100)
    assert tasks.wait(job).metrics["loss"] < 5.6


def test_it_is_cancelled_at_once(tasks: Deployment) -> None:
    job = tasks.submit_tasks("doomed", TASKS, steps=100_000)
    until(lambda: tasks.job(job).step > 0, 200)
    tasks.service.cancel(job.id, "ann")
    assert tasks.ended(job, 20).state is JobState.CANCELLED
    until(lambda: not (tasks.root / "jobs" / job.id).exists(), 10)


def test_killed_and_drained_it_ends_as_it_would_have(deploy: Callable[..., Deployment]) -> None:
    deployment = deploy()
    add_tasks(deployment)
    worker = deployment.start_worker().ready()
    through = deployment.submit_tasks("through", TASKS, **LONG)
    deployment.wait(through)

    job = deployment.submit_tasks("broken", TASKS, **LONG)
    reached = deployment.past_checkpoint(job, number=1, beyond=3)
    worker.kill()
    saved = max(deployment.checkpoints(job))
    worker = deployment.start_worker()
    until(lambda: deployment.job(job).step > reached, 200)
    worker.terminate()
    left = deployment.job(job)
    assert (left.state, left.attempts) == (JobState.QUEUED, 0)  # progress clears the kill
    assert left.step == max(deployment.checkpoints(job)) > saved
    deployment.start_worker()
    deployment.wait(job)
    messages = [event.data["message"] for event in deployment.events(job, "log")]
    resumptions = [int(text.removeprefix("resumed from step ")) for text in messages]
    assert saved <= resumptions[0] < left.step
    assert resumptions[1] == left.step
    whole, resumed = stored(deployment, through), stored(deployment, job)
    for name, (_, part) in whole.items():
        _, again = resumed[name.replace("through", "broken")]
        for one, other in (
            (part.rows, again.rows),
            *((part.affine.matrix, again.affine.matrix) for _ in "x" if part.affine),
            *((part.affine.bias, again.affine.bias) for _ in "x" if part.affine),
        ):
            np.testing.assert_allclose(other, one, rtol=0, atol=1e-4, err_msg=name)
    assert "red stone" not in json.dumps([event.data for event in deployment.events(job)])
