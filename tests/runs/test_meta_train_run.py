"""`ptsys run` of meta_joint.gin and meta_regression.gin: a meta-prompt, recorded once."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest
from commands import MODEL, Ended, call
from small_runs import TASKS, flags, killed, start, stores, write_tasks

from ptsys.kinds.trees import Tree
from ptsys.prompts.storage import load_tree

SMALL = {
    "MODEL": MODEL,
    "STEPS": 8,
    "HELD_OUT": 1,
    "MetaTrain__examples": 3,
    "MetaTrain__tasks_per_step": 2,
    "MetaTrain__batch_size": 4,
    "MetaTrain__length": 4,
    "MetaTrain__max_input_length": 32,
    "MetaTrain__evaluate_every": 4,
    "MetaTrain__checkpoint_every": 2,
}


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tasks(tmp_path_factory.mktemp("three") / "tasks")


def learn(root: Path, tasks: Path, *more: str, run: str = "meta_joint", **values: object) -> Ended:
    given = SMALL | {"TASKS": str(tasks), "NAME": "words"} | values
    return start(root, run, "--json", *more, **given)


def tree(root: Path, name: str) -> Tree:
    prompts = stores(root)[1]
    return load_tree(prompts.tensor_path(prompts.get(name, "local").id))


@pytest.fixture(scope="module")
def whole(root: Path, tasks: Path) -> Ended:
    return learn(root, tasks)


def test_it_is_recorded_once_and_scored_on_what_is_held_out(
    root: Path, tasks: Path, whole: Ended
) -> None:
    assert whole.code == 0, whole.err
    assert isinstance(whole.json, dict)
    assert whole.json["trained"] == 1
    assert f"accuracy/{TASKS[-1]}" in whole.json["scores"]
    record = stores(root)[1].get("words", "local")
    assert (record.kind, record.hyperparameters["method"]) == ("meta", "joint")
    again = learn(root, tasks)
    assert isinstance(again.json, dict)
    assert (again.json["trained"], again.json["id"]) == (0, whole.json["id"])
    other = learn(root, tasks, STEPS=9)
    assert (other.code, other.err.count("\n")) == (2, 1)
    assert "MetaTrain.name" in other.err


@pytest.mark.device
@pytest.mark.usefixtures("whole")
def test_a_killed_run_goes_on_to_the_same_numbers(root: Path, tasks: Path) -> None:
    values = SMALL | {"TASKS": str(tasks), "NAME": "cut"}
    bound = {name.replace("__", "."): value for name, value in values.items()}
    line = ["--data", str(root), "run", *flags("meta_joint", bound)]
    killed(line, "ptsys.store.job_checkpoints:JobCheckpoints.save", after=2, number=signal.SIGKILL)
    ended = learn(root, tasks, NAME="cut")
    assert ended.code == 0, ended.err
    assert "going on from step 4" in ended.err
    for name, x in tree(root, "words").items():
        np.testing.assert_array_equal(tree(root, "cut")[name], x)


@pytest.mark.usefixtures("whole")
def test_regression_wants_the_tuned_prompts(root: Path, tasks: Path) -> None:
    spec = {"run": "meta_regression", "NAME": "compared"}
    missing = learn(root, tasks, PROMPTS="of-", **spec)  # type: ignore[arg-type]
    assert missing.code == 2, missing.err
    assert "of-colours" in missing.err
    small = {"STEPS": 2, "LENGTH": 4, "MAX_INPUT_LENGTH": 32, "INIT": "shared"}
    small["PromptTune__prefix"] = "of-"
    tuned = start(root, "prompt_tune", TASKS=str(tasks), MODEL=MODEL, **small)
    assert tuned.code == 0, tuned.err
    ended = learn(root, tasks, PROMPTS="of-", **spec)  # type: ignore[arg-type]
    assert ended.code == 0, ended.err
    record = stores(root)[1].get("compared", "local")
    assert record.hyperparameters["method"] == "regression"
    assert "tuning_steps" not in record.hyperparameters


TUNED = {"run": "meta_regression", "MetaTrain__tuning_steps": 6, "HELD_OUT": 0}


@pytest.mark.device
def test_killed_while_prompts_are_tuned_first_it_goes_on_to_the_same_numbers(
    root: Path, tasks: Path
) -> None:
    ended = learn(root, tasks, NAME="taught", **TUNED)  # type: ignore[arg-type]
    assert ended.code == 0, ended.err
    assert "3 prompts are tuned first, 6 steps each" in ended.err
    record = stores(root)[1].get("taught", "local")
    assert record.hyperparameters["tuning_steps"] == 6
    values = SMALL | {"TASKS": str(tasks), "NAME": "taught-cut", "HELD_OUT": 0}
    values |= {"MetaTrain.tuning_steps": 6}
    bound = {name.replace("__", "."): value for name, value in values.items()}
    line = ["--data", str(root), "run", *flags("meta_regression", bound)]
    killed(line, "ptsys.store.job_checkpoints:JobCheckpoints.save", after=2, number=signal.SIGKILL)
    ended = learn(root, tasks, NAME="taught-cut", **TUNED)  # type: ignore[arg-type]
    assert ended.code == 0, ended.err
    assert "going on from step 12" in ended.err  # of 18, and 8 of the meta-prompt
    for name, x in tree(root, "taught").items():
        np.testing.assert_allclose(tree(root, "taught-cut")[name], x, rtol=0, atol=1e-6)


def test_a_plan_says_what_is_held_out(root: Path, tasks: Path) -> None:
    ended = learn(root, tasks, "--dry-run", NAME="planned")
    assert ended.code == 0, ended.err
    assert isinstance(ended.json, dict)
    held = [line["held_out"] for line in ended.json["plan"]["tasks"]]
    assert held == [False, False, True]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"HELD_OUT": 3}, "MetaTrain.held_out"),
        ({"MetaTrain__method": "guess"}, "MetaTrain.method"),
        ({"MetaTrain__init": "labels"}, "MetaTrain.init"),
        ({"MetaTrain__loss": "l3"}, "MetaTrain.loss"),
        ({"MetaTrain__tuning_steps": 5}, "MetaTrain.tuning_steps"),
        ({"MetaTrain__teacher_weight": 1.0}, "MetaTrain.prompts"),
    ],
)
def test_what_cannot_be_asked_is_one_line(
    root: Path, tasks: Path, values: dict[str, object], words: str
) -> None:
    ended = learn(root, tasks, **{"NAME": "no", **values})  # type: ignore[arg-type]
    assert (ended.code, ended.err.count("\n")) == (2, 1), ended.err
    assert words in ended.err


def test_a_run_is_queued_as_one_job(root: Path, tasks: Path) -> None:
    first = learn(root, tasks, "--submit", NAME="queued")
    assert first.code == 0, first.err
    again = learn(root, tasks, "--submit", NAME="queued")
    assert isinstance(first.json, dict)
    assert isinstance(again.json, dict)
    assert first.json["jobs"][0]["job"] == again.json["jobs"][0]["job"]
    shown = call("--data", root, "jobs", "show", first.json["jobs"][0]["job"])
    assert "3, of which 1 are scored on" in shown.out
