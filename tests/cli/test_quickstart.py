"""`ptsys quickstart`: its rows are always the same and fair, and nothing of it stays."""

import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from commands import CONFIG, MODEL, call, clean_environment, command, running
from meta_prompts import random_meta
from safetensors.numpy import save_file
from waiting import until

from ptsys.cli.quickstart_tasks import (
    DESKS,
    FEW,
    FEWER,
    TEST,
    TRAIN,
    VALIDATION,
    few_task,
    fewer_task,
    quickstart_tasks,
)
from ptsys.data.metrics import majority
from ptsys.store.model_folders import META_PROMPT
from ptsys.types.example import digest


def test_the_rows_are_always_the_same() -> None:
    first, second = quickstart_tasks(), quickstart_tasks()
    assert first == second
    code = (
        "from ptsys.cli.quickstart_tasks import quickstart_tasks as q; "
        "from ptsys.types.example import digest; print([digest(t.train) for t in q()])"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == str([digest(task.train) for task in first])


@pytest.mark.parametrize("task", quickstart_tasks(), ids=lambda task: task.name)
def test_the_rows_are_fair(task) -> None:
    parts = (task.train, task.validation, task.test, task.fresh)
    assert [len(part) for part in parts[:3]] == [TRAIN, VALIDATION, TEST]
    inputs = [row.input for part in parts for row in part]
    assert len(set(inputs)) == len(inputs)
    assert all(row.target and row.input.strip() for part in parts for row in part)
    targets = [[row.target or "" for row in part] for part in parts]
    assert majority(targets[0], targets[2])[1] < 0.4


def test_three_users_have_three_kinds_of_task() -> None:
    tasks = quickstart_tasks()
    assert {task.user for task in tasks} == {"ann", "bob", "eve"}
    assert {row.target for row in tasks[0].test} == set(DESKS.values())
    assert all((row.target or "") in row.input for row in tasks[1].test)


def test_the_fourth_has_few_rows_and_none_that_another_trained_on() -> None:
    few, ann = few_task(), quickstart_tasks()[0]
    assert few == few_task()
    assert (len(few.train), len(few.test)) == (FEW, TEST)
    inputs = [row.input for row in (*few.train, *few.test)]
    assert len(set(inputs)) == len(inputs)
    assert not {*inputs} & {row.input for row in (*ann.train, *ann.validation)}
    assert {row.target for row in few.train} == set(DESKS.values())


def test_the_fifth_has_five_rows_and_is_judged_by_others() -> None:
    task = fewer_task()
    assert task == fewer_task()
    assert (len(task.train), len(task.test)) == (FEWER, TEST)
    inputs = [row.input for row in (*task.train, *task.test, *task.fresh)]
    assert len(set(inputs)) == len(inputs)
    assert all(row.target != row.input for row in task.train)


@pytest.mark.device
@pytest.mark.timeout(900)
def test_the_whole_story_leaves_nothing(imported: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    subprocess.run(["cp", "-r", str(imported), str(root)], check=True)
    np.save(tmp_path / "earlier.npy", np.zeros((2, CONFIG.d_model), np.float32))
    save_file(random_meta(CONFIG.d_model), root / "models" / MODEL / META_PROMPT)
    importing = ("prompts", "import", tmp_path / "earlier.npy", "--name", "desks", "--model", MODEL)
    assert call("--data", root, "--user", "ann", *importing).code == 0
    ended = subprocess.run(
        command("quickstart", "--data", root, "--model", MODEL, "--steps", 4, "--json"),
        capture_output=True,
        text=True,
        timeout=600,
        env=clean_environment(),
    )
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert [task["user"] for task in told["tasks"]] == ["ann", "bob", "eve"]
    for task in told["tasks"]:
        assert all(0 <= task[key] <= 1 for key in ("majority", "zero_shot", "tuned"))
        assert task["fresh"][0].keys() == {"input", "target", "prediction"}
    library = told["library"]
    assert (library["user"], library["examples"]) == ("dan", FEW)
    assert all(0 <= library[key] <= 1 for key in ("plain", "lifted"))
    ways = ("curriculum", "multitask", "initialization", "second", "query", "written")
    assert library["candidate"] in ways
    theirs = {"ann/desks-2", "bob/places", "eve/notes"}
    assert {found["prompt"] for found in library["found"]} <= theirs
    written = told["written"]
    assert (written["user"], written["examples"]) == ("kim", FEWER)
    assert all(0 <= written[key] <= 1 for key in ("majority", "zero_shot", "written"))
    assert "step 4/4" in ended.stderr
    assert running(str(root)) == []
    prompts = call("--data", root, "--user", "ann", "prompts", "list", "--json").json
    own = [prompt["name"] for prompt in prompts if prompt["owner"] == "ann"]
    assert own == ["desks-2", "desks"]


@pytest.mark.device
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_nothing(imported: Path, tmp_path: Path, number: signal.Signals) -> None:
    root = tmp_path / "data"
    subprocess.run(["cp", "-r", str(imported), str(root)], check=True)
    process = subprocess.Popen(
        command("quickstart", "--data", root, "--model", MODEL),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(),
    )
    until((root / "logs" / "worker-1.log").exists, 60)
    time.sleep(1)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert running(str(root)) == []


def test_a_failure_removes_the_temporary_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    before = set(Path(tempfile.gettempdir()).glob("ptsys-quickstart-*"))
    assert call("quickstart", "--model", "nope").code == 2
    assert set(Path(tempfile.gettempdir()).glob("ptsys-quickstart-*")) == before
