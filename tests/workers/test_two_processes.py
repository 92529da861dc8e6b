"""Two real processes on one mesh give what one gives, and lose no job when one of them dies."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import tiny_model
from listening import Notes
from meta_jobs import TASKS, add_tasks, submit
from waiting import until
from worker_deployment import ADAFACTOR, Deployment
from worker_group import Alone, WorkerGroup

from ptsys.kinds.registry import prompt_kind
from ptsys.kinds.trees import Tree
from ptsys.prompts.meta import generator_of
from ptsys.prompts.safetensors_format import decode_tree, encode, encode_tree
from ptsys.sharding.group import GROUP_ENDED
from ptsys.training.course import Completed
from ptsys.training.loop import Loop
from ptsys.training.meta import MetaTaskData, MetaTraining
from ptsys.training.start import first_meta_prompt
from ptsys.types.records import JobState
from ptsys.types.requests import Decoding, EmitRequest, GradientsRequest, PredictRequest
from ptsys.types.training import Optimizer

pytestmark = pytest.mark.device
MODEL = tiny_model.NAME
INPUTS = ("red stone house", "quick river", "paper music window")
TARGETS = ("red", "blue", "blue")
WAIT = 200.0
KILLED: dict[str, Any] = {
    "steps": 400,
    "batch_size": 32,
    "checkpoint_every": 40,
    "optimizer": ADAFACTOR,
}


@pytest.fixture(scope="module")
def group(template: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerGroup]:
    deployment = Deployment(template, tmp_path_factory.mktemp("group") / "data")
    try:
        add_tasks(deployment)
        yield WorkerGroup(deployment, 2).start()
    finally:
        deployment.close()


@pytest.fixture(scope="module")
def alone(group: WorkerGroup) -> Iterator[Alone]:
    alone = Alone(group.deployment)
    yield alone
    alone.close()


def test_jobs_of_several_users_end_as_with_one_process(group: WorkerGroup, alone: Alone) -> None:
    optimizers = {"ann": ADAFACTOR, "bob": Optimizer(kind="adamw", learning_rate=0.01)}
    jobs = [
        group.deployment.submit("mine", owner, seed=len(owner), optimizer=optimizer)
        for owner, optimizer in optimizers.items()
    ]
    for job in jobs:
        ended = group.deployment.wait(job)
        assert ended.attempts == 0
        found = group.deployment.tensor(job)
        np.testing.assert_allclose(found, alone.prompt(job), rtol=1e-4, atol=5e-4)
        assert np.abs(found - alone.bench.start(len(found))).max() > 1e-2


@pytest.mark.parametrize(
    "decoding",
    [Decoding(max_tokens=4), Decoding(labels=("red", "blue"))],
    ids=["greedy", "labels"],
)
def test_answers_are_those_of_one_process(
    group: WorkerGroup, alone: Alone, decoding: Decoding
) -> None:
    prompt = np.random.default_rng(5).normal(size=(6, tiny_model.D_MODEL)).astype(np.float32)
    wanted = alone.engine.predict(INPUTS, prompt, decoding).result(WAIT)
    request = PredictRequest(model=MODEL, inputs=INPUTS, decoding=decoding)
    header = request.model_dump(mode="json") | {"user": "ann"}
    asker = group.deployment.asker()
    found = asker.call(MODEL, "predict", header, encode(prompt), timeout=WAIT)[0]["predictions"]
    assert [row["prediction"] for row in found] == [row.prediction for row in wanted]
    assert [row["score"] for row in found] == pytest.approx([x.score for x in wanted], abs=1e-4)


def test_gradients_are_those_of_one_process(group: WorkerGroup, alone: Alone) -> None:
    prompt = np.random.default_rng(6).normal(size=(6, tiny_model.D_MODEL)).astype(np.float32)
    _same_gradients(group, alone, {"prompt": prompt})


def test_a_prompt_of_another_kind_trains_and_has_gradients_as_with_one_process(
    group: WorkerGroup, alone: Alone
) -> None:
    """Its arrays are told to the followers as those of soft tokens are."""
    job = group.deployment.submit("layers", prompt_kind="deep")
    group.deployment.wait(job)
    found, wanted = group.deployment.tree(job), alone.tree(job)
    assert found.keys() == wanted.keys() == set(prompt_kind("deep").shapes(8, tiny_model.CONFIG))
    for name, array in found.items():
        np.testing.assert_allclose(array, wanted[name], rtol=1e-4, atol=5e-4)

    _same_gradients(group, alone, wanted)


def _same_gradients(group: WorkerGroup, alone: Alone, prompt: Tree) -> None:
    """The group tells the loss and gradients of a prompt of any kind that one process has."""
    wanted = alone.engine.gradients(INPUTS, TARGETS, prompt).result(WAIT)
    request = GradientsRequest(model=MODEL, inputs=INPUTS, targets=TARGETS)
    header = request.model_dump(mode="json") | {"user": "ann"}
    asker = group.deployment.asker()
    told, tensors = asker.call(MODEL, "gradients", header, encode_tree(prompt), timeout=WAIT)
    assert tensors is not None
    assert told["loss"] == pytest.approx(wanted.loss, abs=1e-4)
    answer, _ = decode_tree(tensors)
    named = {"gradient": wanted.gradient} if len(prompt) == 1 else wanted.gradients
    assert answer.keys() == named.keys()
    for name, array in named.items():
        np.testing.assert_allclose(answer[name], array, rtol=0, atol=1e-4)
    assert max(np.abs(array).max() for array in named.values()) > 1e-3


def test_a_meta_prompt_learns_as_with_one_process(group: WorkerGroup, alone: Alone) -> None:
    """Its examples come with every step, to all processes."""
    job = submit(group.deployment, "writer", TASKS[:2], held_out=0, steps=6)
    group.deployment.wait(job)
    spec: Any = job.spec
    rows = [group.deployment.service.datasets.read(task.dataset) for task in spec.tasks]
    data = [MetaTaskData(one, alone.engine.encode(spec, one)) for one in rows]
    start = first_meta_prompt(alone.bench, alone.engine, spec)
    coder = alone.bench.served.rows
    course = MetaTraining("x", "u", spec, data, coder, start, None, Notes())
    ending = Loop(alone.engine).run(course)
    assert isinstance(ending, Completed)
    found = group.deployment.tree(job)
    for name, x in ending.prompts[0].values.items():
        assert np.abs(x - start[name]).max() > 1e-3, name
        np.testing.assert_allclose(found[name], x, rtol=0, atol=1e-3, err_msg=name)


def test_a_generator_learns_and_reads_in_all_processes(group: WorkerGroup, alone: Alone) -> None:
    """It starts as a copy of the encoder, which lies with all of them."""
    more = {"held_out": 0, "steps": 4, "generator": "own-trained"}
    job = submit(group.deployment, "reader", TASKS[:3], **more)
    group.deployment.wait(job)
    found = group.deployment.tree(job)
    start = alone.engine.encoder().result(WAIT)
    learned = generator_of(found)
    assert learned is not None
    assert learned.keys() == start.keys()
    moved = {name: np.abs(learned[name] - start[name]).max() for name in start}
    assert max(moved.values()) > 1e-3
    assert max(moved.values()) < 0.1, moved
    spec: Any = job.spec
    rows = group.deployment.service.datasets.read(spec.tasks[0].dataset)[:3]
    shown = [{"input": row.input, "target": row.target} for row in rows]
    body = EmitRequest.model_validate(
        {"model": MODEL, "examples": shown, "meta": group.deployment.job(job).prompt}
    )
    header = body.model_dump(mode="json") | {"user": "ann"}
    _, tensors = group.deployment.asker().call(MODEL, "emit", header, None, timeout=WAIT)
    assert tensors is not None
    wanted = alone.engine.written(found, rows).result(WAIT)
    np.testing.assert_allclose(decode_tree(tensors)[0]["prompt"], wanted, rtol=0, atol=1e-4)


@pytest.mark.slow
def test_a_follower_asked_to_end_ends_the_group_in_order(group: WorkerGroup) -> None:
    job = group.deployment.submit("endless", steps=1_000_000, checkpoint_every=1_000_000)
    until(lambda: group.deployment.job(job).step > 0, 100)
    group.workers[1].terminate()
    assert group.exit_codes() == [GROUP_ENDED, GROUP_ENDED]
    left = group.deployment.job(job)
    assert (left.state, left.attempts) == (JobState.QUEUED, 0)
    assert left.step == max(group.deployment.checkpoints(job))  # no step is lost
    group.deployment.service.cancel(job.id, "ann")


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_a_killed_follower_ends_the_group_and_a_new_one_goes_on(
    deploy: Callable[..., Deployment], processes: int
) -> None:
    deployment = deploy()
    group = WorkerGroup(deployment, processes).start()
    job = deployment.submit("killed", **KILLED)
    until(lambda: bool(deployment.checkpoints(job)), WAIT)
    group.workers[-1].kill()
    codes = group.exit_codes()
    assert codes[:-1] == [GROUP_ENDED] * (processes - 1), [w.said for w in group.workers]
    assert f"the group ends: process {processes - 1} (" in group.leader.said
    left = deployment.job(job)
    assert (left.state, left.attempts, left.worker) == (JobState.QUEUED, 0, None)
    saved = max(deployment.checkpoints(job))
    assert 0 < saved < KILLED["steps"]

    group.start()
    ended = deployment.wait(job)
    [resumed] = [event.data["message"] for event in deployment.events(job, "log")]
    assert (resumed, ended.attempts) == (f"resumed from step {saved}", 0)
    alone = Alone(deployment)
    assert np.abs(deployment.tensor(job) - alone.prompt(job)).max() < 1e-4
    alone.close()

    group.leader.kill()
    assert all(code != 0 for code in group.exit_codes())  # JAX may end them before we do


@pytest.mark.slow
def test_a_model_spread_over_two_processes_trains_as_a_whole_one(
    deploy: Callable[..., Deployment],
) -> None:
    deployment = deploy()
    group = WorkerGroup(deployment, 2, model_shards=2).start()
    job = deployment.submit("spread")
    deployment.wait(job)
    alone = Alone(deployment)
    assert np.abs(deployment.tensor(job) - alone.prompt(job)).max() < 1e-4
    alone.close()
    assert group.leader.terminate()[0] == 0
    assert group.exit_codes() == [0, 0]


def test_a_process_that_never_joins_is_named(deploy: Callable[..., Deployment]) -> None:
    group = WorkerGroup(deploy(), 3, join_seconds=8.0)
    leader, first = group.start_one(0), group.start_one(1)
    assert leader.process.wait(100) == 1
    assert "of 3 processes these did not join within 8 s: 2;" in leader.said
    assert first.process.wait(100) != 0
    assert "Traceback" not in leader.said


@pytest.mark.slow
def test_a_group_taken_away_without_notice_loses_at_most_the_steps_since_its_checkpoint(
    deploy: Callable[..., Deployment],
) -> None:
    """As a TPU slice under maintenance goes: every process at once, and no signal before."""
    deployment = deploy()
    group = WorkerGroup(deployment, 2).start()
    every = 20
    job = deployment.submit("preempted", steps=400, checkpoint_every=every)
    deployment.past_checkpoint(job, number=2)
    for worker in group.workers:
        worker.kill()
    reached = max(event.data["step"] for event in deployment.events(job, "progress"))
    group.start()
    ended = deployment.wait(job)
    resumed = [
        int(event.data["message"].removeprefix("resumed from step "))
        for event in deployment.events(job, "log")
        if "resumed from step" in event.data["message"]
    ]
    assert len(resumed) == 1
    assert resumed[0] % every == 0
    assert reached - resumed[0] <= every + 1  # the step under way was not told yet
    assert ended.state is JobState.SUCCEEDED
    alone = Alone(deployment)
    assert np.abs(deployment.tensor(job) - alone.prompt(job)).max() < 1e-4
    alone.close()
