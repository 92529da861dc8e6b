"""`ptsys run` of build_library.gin: every task's prompt is in the library, whatever happens on the
way, and nothing is done twice."""

import fcntl
import json
import os
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
from commands import MODEL, Ended, call, clean_environment, command
from small_runs import TASKS, rows, write_tasks
from waiting import until

from ptsys.prompts.storage import load_tree
from ptsys.store.database import Database
from ptsys.store.datasets import Datasets
from ptsys.store.prompts import Prompts

FILE = "gin/runs/build_library.gin"
OWNER = "ada"


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sound tasks."""
    folder = write_tasks(tmp_path_factory.mktemp("tasks"))
    described = [{"name": "colours", "description": "Say the colour.", "licence": "CC0-1.0"}]
    described[0]["kind"] = "classification"
    (folder / "tasks.json").write_text(json.dumps(described))
    return folder


def flags(folder: Path, **values: object) -> list[str]:
    given = {"TASKS": str(folder), "MODEL": MODEL, "OWNER": OWNER, "STEPS": 4}
    given |= {name: values.pop(name.lower()) for name in given if name.lower() in values}
    fields = {"length": 4, "batch_size": 4, "optimizer": "sgd", "learning_rate": 0.1} | values
    bound = given | {f"BuildLibrary.{name}": value for name, value in fields.items()}
    return [f"--gin_file={FILE}", *(f"--gin.{name}={value!r}" for name, value in bound.items())]


def build(root: Path, folder: Path, **values: object) -> Ended:
    return call("--data", root, "run", *flags(folder, **values), "--json")


def stores(root: Path) -> tuple[Datasets, Prompts]:
    database = Database(f"sqlite:///{root / 'ptsys.db'}")
    return Datasets(database, root), Prompts(database, root)


def tensors(root: Path) -> dict[str, np.ndarray]:
    prompts = stores(root)[1]
    return {
        prompt.name: load_tree(prompts.tensor_path(prompt.id))["prompt"]
        for prompt in prompts.list("x")
    }


@pytest.fixture(scope="module")
def built(root: Path, tasks: Path) -> Ended:
    """The library of the three tasks, in `root`."""
    return build(root, tasks, tags=("pack",), contact="ada@example.org")


def test_every_task_is_recorded_with_all_that_is_known_of_it(root: Path, built: Ended) -> None:
    assert built.code == 0, built.err
    datasets, prompts = stores(root)
    assert {prompt.name for prompt in prompts.list("somebody")} == set(TASKS)
    prompt = prompts.get(f"{OWNER}/colours", "somebody")
    assert (prompt.owner, prompt.visibility, prompt.contact) == (OWNER, "public", "ada@example.org")
    assert (prompt.licence, prompt.description) == ("CC0-1.0", "Say the colour.")
    assert (prompt.tags, prompt.steps, prompt.length) == (("classification", "pack"), 4, 4)
    assert prompt.initialization == {"kind": "shared"}
    assert prompt.hyperparameters["optimizer"]["kind"] == "sgd"
    assert {"accuracy", "test_accuracy", "train_loss"} <= set(prompt.scores)
    assert prompt.dataset is not None
    assert datasets.read(prompt.dataset) == rows("colours", 0, 24)
    dataset = datasets.get(prompt.dataset, "somebody")
    assert dataset.description == "Say the colour. (licence: CC0-1.0)"
    assert datasets.read(datasets.get(f"{OWNER}/colours.validation", "x").id) == rows(
        "colours", 24, 8
    )
    assert load_tree(prompts.tensor_path(prompt.id))["prompt"].shape == (4, prompt.d_model)


def test_the_summary_compares_with_the_most_common_answer(root: Path, built: Ended) -> None:
    summary = built.json
    assert isinstance(summary, dict)
    lines = {line["prompt"]: line for line in summary["prompts"]}
    assert (lines["shout"]["majority"], lines["parity"]["majority"]) == (1.0, 0.5)
    assert summary["mean_majority"] == pytest.approx((1 + 0.5 + 0.25) / 3, abs=1e-3)
    kept = json.loads((root / "runs/build_library/summary.json").read_text())
    assert kept == summary
    metrics = (root / "runs/build_library/metrics.jsonl").read_text()
    assert {json.loads(line)["prompt"] for line in metrics.splitlines()} == set(TASKS)
    assert "door" not in metrics + built.err  # names and numbers alone, no rows
    assert not list((root / "runs/build_library/checkpoints").glob("*"))


def test_a_second_run_does_nothing(root: Path, tasks: Path, built: Ended) -> None:
    before = {prompt.id for prompt in stores(root)[1].list("x")}
    again = build(root, tasks, tags=("pack",), contact="ada@example.org")
    assert again.code == 0, again.err
    assert isinstance(again.json, dict)
    assert isinstance(built.json, dict)
    assert (again.json["trained"], again.json["already_there"]) == (0, 3)
    assert again.json["prompts"] == built.json["prompts"]
    assert {prompt.id for prompt in stores(root)[1].list("x")} == before


@pytest.mark.usefixtures("built")
def test_a_broken_task_is_told_and_the_others_are_done(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tasks"
    for name, text in (
        ("torn", '{"input": "a", "target": "b"}\n{"input": '),
        ("long", json.dumps({"input": "a", "target": "red door " * 100})),
        ("colours", '{"input": "a", "target": "b"}'),  # the name has other rows already
        ("fine", '{"input": "the red door", "target": "red"}'),
    ):
        (folder / name).mkdir(parents=True)
        (folder / name / "train.jsonl").write_text(text + "\n")
    ended = build(root, folder)
    assert ended.code == 1
    assert isinstance(ended.json, dict)
    assert [line["prompt"] for line in ended.json["prompts"]] == ["fine"]
    failed = ended.json["failed"]
    assert set(failed) == {"torn", "long", "colours"}
    assert "train.jsonl: line 2" in failed["torn"]
    assert "row 1: 'target' has" in failed["long"]
    assert "dataset 'colours'" in failed["colours"]
    assert "red" not in failed["long"] + failed["torn"]  # reasons quote no rows


@pytest.mark.usefixtures("built")
def test_other_settings_are_no_silent_success(root: Path, tasks: Path) -> None:
    ended = build(root, tasks, include=("colours",), learning_rate=0.2)
    assert ended.code == 1
    assert isinstance(ended.json, dict)
    assert "other settings" in ended.json["failed"]["colours"]
    assert "BuildLibrary.prefix" in ended.json["failed"]["colours"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"tasks": "/nowhere"}, ["tasks", "/nowhere"]),
        ({"tasks": "/usr/lib"}, ["tasks", "holds no tasks"]),
        ({"model": "unknown"}, ["unknown"]),
        ({"nope": 1}, ["nope"]),
        ({"include": ("z*",)}, ["include", "z*"]),
        ({"exclude": ("*",)}, ["exclude"]),
        ({"steps": 0}, ["steps", "greater than or equal to 1"]),
        ({"optimizer": "lion"}, ["optimizer", "adamw"]),
        ({"at_once": 0}, ["at_once", "at least 1"]),
        ({"seeds": (1, 1)}, ["seeds", "once"]),
        ({"evaluate_on": ("train",)}, ["evaluate_on", "validation"]),
        ({"visibility": "secret"}, ["visibility", "private"]),
    ],
)
def test_what_cannot_be_asked_is_one_line(
    root: Path, tasks: Path, values: dict[str, object], words: list[str]
) -> None:
    ended = build(root, tasks, **values)
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1), ended.err
    for word in words:
        assert word in ended.err


def test_the_folder_of_tasks_must_be_named() -> None:
    ended = call("run", f"--gin_file={FILE}")
    assert ended.code == 2
    assert ended.err == "error: gin.TASKS: TASKS has no value yet; add --gin.TASKS=VALUE\n"


def test_two_runs_do_not_share_an_output(root: Path, tasks: Path, tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        ended = build(root, tasks, output=str(tmp_path))
    assert ended.code == 2
    assert "another run works in" in ended.err


LONG = {"steps": 2000, "checkpoint_every": 20, "evaluate_on": ("validation",)}


@pytest.fixture(scope="module")
def whole(imported: Path, tasks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that was built without being stopped."""
    root = copied(imported, tmp_path_factory.mktemp("whole"))
    ended = build(root, tasks, **LONG)
    assert ended.code == 0, ended.err
    return root


def copied(source: Path, target: Path) -> Path:
    target.mkdir(exist_ok=True)
    subprocess.run(["cp", "-r", f"{source}/.", str(target)], check=True)
    return target


@pytest.mark.slow
@pytest.mark.device
@pytest.mark.timeout(600)  # processes that compile, perhaps on a busy machine
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_stopped_run_goes_on_to_the_same_prompts(
    number: signal.Signals, imported: Path, whole: Path, tasks: Path, tmp_path: Path
) -> None:
    root = copied(imported, tmp_path)
    process = subprocess.Popen(
        command("--data", root, "run", *flags(tasks, **LONG)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(),
    )
    try:
        until(lambda: checkpoints(root), 200, process)
        os.kill(process.pid, number)
        process.wait(timeout=60)
    finally:
        process.kill()
        process.wait()
    if number == signal.SIGTERM:
        assert process.returncode == 130, process.stderr.read()[-3000:]
        begun = {line["prompt"] for line in metrics(root)}
        assert begun <= set(checkpoints(root)) | set(tensors(root))  # each kept its state
    left, told = checkpoints(root), len(metrics(root))
    assert left
    ended = build(root, tasks, **LONG)
    assert ended.code == 0, ended.err
    for line in metrics(root)[told:]:
        assert line["step"] > left.get(line["prompt"], 0) or line["step"] == LONG["steps"]
    found, wanted = tensors(root), tensors(whole)
    assert set(found) == set(wanted) == set(TASKS)
    for name in TASKS:
        np.testing.assert_allclose(found[name], wanted[name], atol=1e-5, rtol=0)


def metrics(root: Path) -> list[dict]:
    text = (root / "runs/build_library/metrics.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def checkpoints(root: Path) -> dict[str, int]:
    """The newest whole checkpoint of each prompt."""
    found: dict[str, int] = {}
    for path in (root / "runs/build_library/checkpoints").glob("*/*"):
        if path.name.isdigit():
            found[path.parent.name] = max(int(path.name), found.get(path.parent.name, 0))
    return found
