"""`ptsys run` of multitask.gin: a general prompt and one a task, all there or none."""

import signal
from pathlib import Path

import numpy as np
import pytest
from commands import Ended
from small_runs import SMALL, TASKS, flags, killed, start, stores, tensors, write_tasks


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tasks(tmp_path_factory.mktemp("three") / "tasks")


def learn(root: Path, tasks: Path, *more: str, **values: object) -> Ended:
    given = SMALL | {"TASKS": str(tasks), "NAME": "all", "BATCH_SIZE": 6} | values
    return start(root, "multitask", "--json", *more, **given)


@pytest.fixture(scope="module")
def whole(root: Path, tasks: Path) -> Ended:
    return learn(root, tasks)


def test_all_prompts_are_recorded_and_linked(root: Path, tasks: Path, whole: Ended) -> None:
    assert whole.code == 0, whole.err
    assert "steps: 0 of" in whole.err  # no terminal, so lines
    prompts = stores(root)[1]
    general = prompts.get("all", "local")
    linked = {prompt.task: prompt for prompt in prompts.linked(general, "local")}
    assert set(linked) == set(TASKS)
    assert {prompt.name for prompt in linked.values()} == {f"all.{name}" for name in TASKS}
    assert (general.length, linked["parity"].length) == (4, 4)
    assert {"accuracy", "test_accuracy", "train_loss"} <= set(linked["parity"].scores)
    own = [prompt.scores["test_accuracy"] for prompt in linked.values()]
    assert general.scores["test_accuracy"] == pytest.approx(sum(own) / 3)
    assert isinstance(whole.json, dict)
    assert [line["prompt"] for line in whole.json["prompts"]] == [f"all.{name}" for name in TASKS]
    again = learn(root, tasks)
    assert again.code == 0, again.err
    assert isinstance(again.json, dict)
    assert (again.json["trained"], again.json["already_there"]) == (0, 4)
    assert again.json["prompts"] == whole.json["prompts"]


@pytest.mark.slow
@pytest.mark.device
@pytest.mark.usefixtures("whole")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_stopped_run_goes_on_to_the_same_prompts(
    root: Path, tasks: Path, number: signal.Signals
) -> None:
    name = f"cut{number}"
    values = SMALL | {"TASKS": str(tasks), "NAME": name, "BATCH_SIZE": 6}
    line = ["--data", str(root), "run", *flags("multitask", values)]
    killed(line, "ptsys.store.job_checkpoints:JobCheckpoints.save", after=2, number=number)
    assert name not in tensors(root)
    ended = learn(root, tasks, NAME=name)
    assert ended.code == 0, ended.err
    assert f"going on from step {4 if number is signal.SIGKILL else ''}" in ended.err
    found = tensors(root)
    for task in ("", *(f".{task}" for task in TASKS)):
        np.testing.assert_allclose(found[f"{name}{task}"], found[f"all{task}"], atol=1e-5, rtol=0)


def test_rates_are_told_before_anything_is_done(root: Path, tasks: Path) -> None:
    ended = learn(
        root,
        tasks,
        "--dry-run",
        NAME="rated",
        MultiTask__mixing="rates",
        MultiTask__rates={"colours": 2.0, "parity": 1.0, "shout": 1.0},
    )
    assert ended.code == 0, ended.err
    assert isinstance(ended.json, dict)
    plan = ended.json["plan"]
    assert [line["share"] for line in plan["tasks"]] == [0.5, 0.25, 0.25]
    assert plan["prompts"] == 4


@pytest.mark.usefixtures("whole")
@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"STEPS": 9}, ["'all' is there already", "MultiTask.name"]),
        ({"NAME": "a b"}, ["MultiTask.name"]),
        ({"NAME": "x", "MultiTask__mixing": "fair"}, ["MultiTask.mixing", "temperature"]),
        ({"NAME": "x", "MultiTask__combination": "sum"}, ["MultiTask.combination", "concat"]),
        ({"NAME": "x", "MultiTask__mixing": "rates"}, ["MultiTask.mixing", "rate"]),
        ({"NAME": "x", "MAX_INPUT_LENGTH": 100}, ["MultiTask.max_input_length", "64"]),
    ],
)
def test_what_cannot_be_asked_is_one_line(
    root: Path, tasks: Path, values: dict[str, object], words: list[str]
) -> None:
    ended = learn(root, tasks, **values)
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1), ended.err
    for word in words:
        assert word in ended.err
