import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tiny_model
from waiting import until
from worker_deployment import Deployment

from ptsys.types.example import Example
from ptsys.types.records import JobState
from ptsys.types.training import Initialization, Optimizer

pytestmark = [pytest.mark.device, pytest.mark.databases("sqlite", "postgres")]
BRIEF = "SHIBBOLETH"  # a word that no log may show


def test_a_job_makes_a_prompt(served: Deployment) -> None:
    served.add_rows("validation", tiny_model.rows(12, seed=9))
    job = served.submit(
        "first",
        steps=200,
        checkpoint_every=50,
        evaluate_every=100,
        validation="validation",
        initialization=Initialization(kind="labels"),
    )
    ended = served.wait(job)
    assert ended.state is JobState.SUCCEEDED
    assert (ended.step, ended.attempts) == (200, 0)

    prompt = served.service.prompts.get("first", "ann")
    assert prompt.id == ended.prompt
    assert prompt.job == job.id
    assert prompt.id.removeprefix("pr-") == job.id.removeprefix("job-")
    assert prompt.dataset == job.spec.dataset
    assert prompt.model_fingerprint == served.service.models.get(tiny_model.NAME).fingerprint
    stored = Path(served.service.prompts.tensor_path(prompt.id))
    assert not any(path.stat().st_mode & 0o077 for path in (stored, *stored.rglob("*")))
    assert prompt.initialization == {"kind": "labels"}
    assert prompt.hyperparameters["optimizer"]["learning_rate"] == 0.3
    assert prompt.steps == 200
    assert set(prompt.scores) == {"accuracy", "token_f1", "train_loss"}
    tensor = served.tensor(job)
    assert tensor.shape == (8, tiny_model.D_MODEL)
    assert tensor.dtype == np.float32

    assert prompt.scores["train_loss"] == pytest.approx(ended.metrics["loss"])
    progress = [event.data for event in served.events(job, "progress")]
    assert progress[-1]["step"] == 200
    assert progress[-1]["loss"] < 4.5  # it starts near log(320) = 5.8


def test_its_events_come_in_order(served: Deployment) -> None:
    served.add_rows("checked", tiny_model.rows(12, seed=9))
    job = served.submit("ordered", evaluate_every=20, validation="checked")
    served.wait(job)
    events = served.events(job)
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    states = [event.data["state"] for event in events if event.kind == "state"]
    assert states == ["queued", "running", "succeeded"]
    assert events[-1].kind == "state"
    for kind, steps in (("checkpoint", [10, 20, 30]), ("evaluation", [20, 40])):
        assert [event.data["step"] for event in served.events(job, kind)] == steps
    told = [event.data["step"] for event in served.events(job, "progress")]
    assert all(a < b for a, b in itertools.pairwise(told))
    until(lambda: not (served.root / "jobs" / job.id).exists(), 10)  # nothing to resume from


def test_a_doubled_message_runs_a_job_once(served: Deployment) -> None:
    job = served.submit("doubled", steps=100)
    queue = served.service.queue()
    for _ in range(3):
        queue.send_look(job.id, tiny_model.NAME)
    served.wait(job)
    queue.send_look(job.id, tiny_model.NAME)  # also when all is over
    until(lambda: queue.depth(tiny_model.NAME) == 0, 10)
    served.wait(served.submit("behind", steps=1))  # its message came after that one
    states = [event.data["state"] for event in served.events(job, "state")]
    assert states == ["queued", "running", "succeeded"]
    made = [prompt for prompt in served.service.prompts.list("ann") if prompt.job == job.id]
    assert len(made) == 1


def test_a_cancelled_job_stops_soon_and_the_others_go_on(served: Deployment) -> None:
    doomed = served.submit("doomed", steps=100_000)
    other = served.submit("other", "bob", steps=1500)
    until(lambda: served.job(doomed).step > 0 and served.job(other).step > 0, 200)
    served.service.cancel(doomed.id, "ann")
    ended = served.ended(doomed, 60)
    assert ended.state is JobState.CANCELLED
    until(lambda: not (served.root / "jobs" / doomed.id).exists(), 10)
    assert served.service.prompts.list("ann", limit=1)[0].job != doomed.id
    assert served.wait(other).state is JobState.SUCCEEDED
    again = served.submit("doomed", steps=5)  # the name is free again
    served.wait(again)


@pytest.mark.parametrize(
    ("rows", "spec", "expected"),
    [
        ([Example(f"red {BRIEF}", "yes"), Example("")], {}, "too short to cut"),
        ([Example("red", f"{BRIEF} " * 9)], {}, "row 1: 'target' has"),
        (
            None,
            {"optimizer": Optimizer(kind="sgd", learning_rate=1000, weight_decay=0.9)},
            "no longer finite",
        ),
    ],
    ids=["short", "long", "diverging"],
)
def test_a_broken_job_fails_alone_with_one_clear_line(
    served: Deployment, rows: list[Example] | None, spec: dict, expected: str
) -> None:
    if rows is not None:
        served.add_rows(f"broken-{expected[-4:].strip()}", rows)
        spec = {**spec, "dataset": f"broken-{expected[-4:].strip()}"}
    good = served.submit("beside", "bob", steps=150)
    bad = served.submit("bad", **spec)
    ended = served.ended(bad)
    assert ended.state is JobState.FAILED
    assert ended.attempts == 1  # it is not tried again
    assert ended.error is not None
    assert expected in ended.error
    assert "\n" not in ended.error
    if rows is not None:
        assert ended.traceback is not None
        assert "Traceback" in ended.traceback
    assert served.wait(good).state is JobState.SUCCEEDED
    served.service.prompts.delete("beside", "bob")
    assert BRIEF not in served.workers[0].said


def test_a_damaged_dataset_fails_its_job_for_good(served: Deployment) -> None:
    served.add_rows("damaged", tiny_model.rows(8))
    identifier = served.service.datasets.get("damaged", "ann").id
    served.service.datasets.path(identifier).write_text("{}\n")
    ended = served.ended(served.submit("unreadable", dataset="damaged"))
    assert ended.state is JobState.FAILED
    assert ended.attempts == 1  # asking again changes nothing
    assert "damaged" in (ended.error or "")


def test_a_start_from_a_prompt_of_other_weights_is_refused(served: Deployment) -> None:
    first = served.wait(served.submit("origin", steps=5))
    record = served.service.prompts.read(first.prompt or "")
    stranger = record.model_copy(
        update={"id": "pr-stranger", "name": "stranger", "model_fingerprint": "0" * 16}
    )
    served.service.prompts.add(stranger)
    start = Initialization(kind="prompt", prompt="stranger")
    ended = served.ended(served.submit("heir", initialization=start))
    assert ended.state is JobState.FAILED
    assert "fingerprint" in (ended.error or "")
    start = Initialization(kind="prompt", prompt="origin")
    served.wait(served.submit("true-heir", steps=5, initialization=start))


def test_two_workers_share_the_jobs(deploy: Callable[..., Deployment]) -> None:
    deployment = deploy(max_residents=1)
    for worker in [deployment.start_worker(), deployment.start_worker()]:
        worker.ready()
    jobs = [deployment.submit(f"job-{n}", steps=150) for n in range(4)]
    for job in jobs:
        deployment.wait(job)
    names = set()
    for job in jobs:
        running = [e.data for e in deployment.events(job, "state") if e.data["state"] == "running"]
        assert len(running) == 1
        names.add(running[0]["worker"])
    assert len(names) == 2
