"""`ptsys run` of prompt_tune.gin: a prompt for each task, whatever happens on the way."""

import json
import re
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import MODEL, Ended, examples, write_rows
from small_runs import SMALL, TASKS, flags, killed, rows, start, stores, tensors, write_tasks
from tensorboardX.proto.event_pb2 import Event

from ptsys.errors import InvalidInput
from ptsys.prompts.formats import read_prompt, read_tree
from ptsys.prompts.storage import load_tree
from ptsys.runs.gin_bindings import run_from_gin
from ptsys.runs.prompt_tune import PromptTune
from ptsys.runs.tasks.jsonl_task import JsonlTask
from ptsys.runs.tasks.task_list import task_list
from ptsys.runs.tasks.task_mixture import TaskMixture, mixing_rates
from ptsys.types.example import Example

FILE = "gin/runs/prompt_tune.gin"
TINY = "gin/recipes/tiny.gin"


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tasks(tmp_path_factory.mktemp("three") / "tasks")


def tune(root: Path, folder: Path, *more: str, **values: object) -> Ended:
    return start(root, "prompt_tune", *more, **SMALL | {"TASKS": str(folder)} | values)


@pytest.fixture(scope="module")
def whole(root: Path, tasks: Path) -> Ended:
    """A run on the three tasks that nothing disturbed."""
    return tune(root, tasks, "--json")


def test_the_defaults_are_the_published_recipe() -> None:
    run = run_from_gin([FILE], ["TASKS = 'x'"])
    assert isinstance(run, PromptTune)
    assert (run.optimizer, run.learning_rate, run.decay) == ("adafactor", 0.3, "constant")
    assert (run.length, run.batch_size, run.steps) == (100, 32, 30_000)
    assert (run.weight_decay, run.init, run.z_loss) == (1e-5, "labels", 1e-4)
    fields = PromptTune("x")  # the class has the same, for whom uses no gin
    assert (fields.steps, fields.length, fields.init) == (run.steps, run.length, run.init)


def test_later_files_and_flags_win() -> None:
    run = run_from_gin([FILE, TINY], ["TASKS = 'x'", "PromptTune.steps = 7"])
    assert isinstance(run, PromptTune)
    assert (run.model, run.length, run.init, run.steps) == ("tiny", 16, "shared", 7)


def test_a_dry_run_tells_all_and_does_nothing(root: Path, tasks: Path) -> None:
    before = sorted(root.rglob("*"))
    ended = tune(root, tasks, "--dry-run", "--json")
    assert ended.code == 0, ended.err
    assert isinstance(ended.json, dict)
    assert "PromptTune.at_once = 64" in ended.json["configuration"]  # defaults too
    assert "STEPS = 8" in ended.json["configuration"]
    plan = ended.json["plan"]
    assert plan["tasks"][0] == {"task": "colours", "train": 24, "validation": 8, "test": 8}
    assert (plan["prompts"], plan["steps"], plan["rows_a_step"]) == (3, 8, 4)
    assert sorted(root.rglob("*")) == before
    assert "fv_" not in tune(root, tasks, "--dry-run").out


def test_every_task_has_a_prompt(root: Path, whole: Ended) -> None:
    assert whole.code == 0, whole.err
    assert re.search(r"^steps of \d+ prompts: 0 of \d+$", whole.err, re.MULTILINE)
    prompts = stores(root)[1]
    assert {prompt.name for prompt in prompts.list("local")} == set(TASKS)
    prompt = prompts.get("parity", "local")
    assert (prompt.length, prompt.steps, prompt.visibility) == (4, 8, "private")
    assert {"accuracy", "token_f1", "test_accuracy", "train_loss"} <= set(prompt.scores)
    assert prompt.hyperparameters["optimizer"]["learning_rate"] == 0.3
    kept = tensors(root)
    for name in TASKS:
        exported = read_prompt(root / f"runs/prompt_tune/prompts/{name}.safetensors")
        np.testing.assert_array_equal(exported, kept[name])


def test_the_summary_is_a_table_and_a_file(root: Path, tasks: Path, whole: Ended) -> None:
    assert isinstance(whole.json, dict)
    lines = {line["prompt"]: line for line in whole.json["prompts"]}
    assert set(lines) == set(TASKS)
    assert (lines["shout"]["majority"], lines["shout"]["metric"]) == (1.0, "accuracy")
    assert json.loads((root / "runs/prompt_tune/summary.json").read_text()) == whole.json
    again = tune(root, tasks)
    assert again.code == 0, again.err
    assert "majority" in again.out
    assert "already_there  3" in again.out


def scalars(folder: Path) -> dict[tuple[str, int], float]:
    """What lies in TensorBoard's event files: length, its checksum, an event, its checksum."""
    found = {}
    for path in folder.glob("events.*"):
        data, place = path.read_bytes(), 0
        while place < len(data):
            (size,) = struct.unpack("<Q", data[place : place + 8])
            event = Event.FromString(data[place + 12 : place + 12 + size])
            place += size + 16
            for value in event.summary.value:
                found[value.tag, event.step] = value.simple_value
    return found


@pytest.mark.usefixtures("whole")
def test_tensorboard_shows_what_the_metrics_say(root: Path) -> None:
    folder = root / "runs/prompt_tune"
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    told = {
        (f"{name}/{line['prompt']}", line["step"]): value
        for line in lines
        for name, value in line.items()
        if isinstance(value, float) and name != "seconds"
    }
    shown = scalars(folder / "tensorboard")
    assert set(shown) == set(told)
    for key, value in told.items():
        assert shown[key] == pytest.approx(value, abs=1e-5)
    for name in TASKS:
        assert {step for tag, step in shown if tag == f"loss/{name}"} == {2, 4, 6}
        assert {step for tag, step in shown if tag == f"accuracy/{name}"} == {4, 8}


SLOWLY = """
import time
from ptsys.engine.device import Device
train = Device.train
Device.train = lambda *given: (time.sleep(0.4), train(*given))[1]
"""  # else all steps may be done before the first state is written, and one stands for all of them


@pytest.mark.device
def test_a_killed_run_goes_on_to_the_same_prompts(root: Path, tasks: Path, whole: Ended) -> None:
    values = SMALL | {
        "TASKS": str(tasks),
        "PromptTune.prefix": "killed.",
        "OUTPUT": str(root / "k"),
    }
    line = ["--data", str(root), "run", *flags("prompt_tune", values)]
    killed(line, "ptsys.store.job_checkpoints:JobCheckpoints.save", after=2, extra=SLOWLY)
    left = list((root / "k/checkpoints").glob("*/[0-9]*"))
    assert left
    assert not any(name.startswith("killed.") for name in tensors(root))
    ended = tune(root, tasks, "--json", PromptTune__prefix="killed.", OUTPUT=str(root / "k"))
    assert ended.code == 0, ended.err
    found = tensors(root)
    for name in TASKS:
        np.testing.assert_allclose(found[f"killed.{name}"], found[name], atol=1e-5, rtol=0)
    assert isinstance(ended.json, dict)
    assert isinstance(whole.json, dict)
    for mine, theirs in zip(ended.json["prompts"], whole.json["prompts"], strict=True):
        assert mine["test"] == theirs["test"]
        assert mine["train_loss"] == pytest.approx(theirs["train_loss"], abs=1e-3)


@pytest.mark.slow
def test_the_built_in_model_takes_its_recipe(tasks: Path, tmp_path: Path) -> None:
    ended = start(
        tmp_path,
        "prompt_tune",
        "--json",
        files=(TINY,),
        TASKS=str(tasks / "shout"),
        STEPS=2,
        PromptTune__evaluate_on=(),
    )
    assert ended.code == 0, ended.err
    prompt = stores(tmp_path)[1].get("shout", "local")
    assert (prompt.model, prompt.length, prompt.d_model) == ("tiny", 16, 128)


def test_prompts_of_another_kind_are_trained_recorded_and_exported(root: Path, tasks: Path) -> None:
    named = {"PromptTune__prompt_kind": "deep", "PromptTune__prefix": "deep."}
    output = root / "deep"
    ended = tune(root, tasks / "parity", "--json", **named, OUTPUT=str(output))
    assert ended.code == 0, ended.err
    prompts = stores(root)[1]
    [prompt] = [one for one in prompts.list("local") if one.kind == "deep"]
    assert (prompt.name, prompt.length, prompt.steps) == ("deep.parity", 4, 8)
    assert {"accuracy", "test_accuracy", "train_loss"} <= set(prompt.scores)
    kept = load_tree(prompts.tensor_path(prompt.id))
    exported = read_tree(output / "prompts/deep.parity.safetensors")
    assert len(kept) == 6
    for name, array in exported.items():
        np.testing.assert_array_equal(array, kept[name])
    assert prompt.bytes == sum(array.nbytes for array in kept.values())
    again = tune(root, tasks / "parity", **named, OUTPUT=str(output))
    assert "already_there  1" in again.out


def test_a_mixture_is_one_prompt_scored_on_each_task(root: Path, tasks: Path) -> None:
    ended = start(
        root,
        "prompt_tune",
        "--json",
        files=("gin/tasks/mixture.gin",),
        **{name: value for name, value in SMALL.items() if name != "INIT"},
        INIT="labels",
        FOLDER=str(tasks),
        MIXTURE="all",
        TaskMixture__mixing="rates",
        TaskMixture__rates={"colours": 2.0, "parity": 1.0, "shout": 1.0},
        OUTPUT=str(root / "mixed"),
    )
    assert ended.code == 0, ended.err
    prompt = stores(root)[1].get("all", "local")
    assert prompt.hyperparameters["rates"] == {"colours": 2.0, "parity": 1.0, "shout": 1.0}
    own = [prompt.scores[f"test_accuracy/{name}"] for name in TASKS]
    assert prompt.scores["test_accuracy"] == pytest.approx(sum(own) / 3)
    assert prompt.initialization == {"kind": "labels"}


def test_rates_by_name(tasks: Path, tmp_path: Path) -> None:
    sizes = {"a": 1, "b": 4, "c": 16}
    for name, count in sizes.items():
        (tmp_path / name).mkdir()
        write_rows(tmp_path / name / "train.jsonl", rows("shout", 0, count))
    found = task_list(str(tmp_path))
    shares = mixing_rates(found, "proportional", limit=8)
    assert np.array(shares) == pytest.approx(np.array([1, 4, 8]) / 13)
    shares = mixing_rates(found, "temperature", temperature=2.0)
    assert np.array(shares) == pytest.approx(np.array([1, 2, 4]) / 7)
    assert mixing_rates(found, "equal") == [1.0, 1.0, 1.0]
    with pytest.raises(InvalidInput, match="'b' has the rate None"):
        mixing_rates(found, "rates", rates={"a": 1.0})
    with pytest.raises(InvalidInput, match="no such task"):
        mixing_rates(found, "rates", rates={"z": 1.0})
    mixture = TaskMixture("m", (str(tasks), str(tasks / "shout")))  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="two tasks are called 'shout'"):
        task_list(mixture)


def test_templates_make_rows_of_any_fields(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text('{"premise": "it rains", "claim": "wet", "label": 1}\n')
    task = JsonlTask(
        tmp_path, input="{premise} so: {claim}", target="{label}", metrics=("macro_f1",)
    )
    assert task.rows("train") == [Example("it rains so: wet", "1")]
    assert task.score("train", ["1"]) == {"macro_f1": 1.0}
    with pytest.raises(InvalidInput, match=r"train\.jsonl: line 1: the row has no 'nope'"):
        JsonlTask(tmp_path, input="{nope}", target="{label}").rows("train")
    with pytest.raises(InvalidInput, match="write a field as"):
        JsonlTask(tmp_path, input="{claim.__class__}", target="{label}").rows("train")


def test_a_task_is_scored_by_its_own_metric(root: Path, tasks: Path) -> None:
    ended = start(
        root,
        "prompt_tune",
        "--json",
        files=("gin/tasks/jsonl.gin",),
        **SMALL,
        FOLDER=str(tasks / "parity"),
        JsonlTask__metrics=("macro_f1",),
        JsonlTask__name="even",
        OUTPUT=str(root / "even"),
    )
    assert ended.code == 0, ended.err
    assert set(stores(root)[1].get("even", "local").scores) == {
        *("macro_f1", "test_macro_f1", "train_loss")
    }
    assert ended.json["prompts"][0]["metric"] == "macro_f1"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"TASKS": "/nowhere"}, ["tasks", "/nowhere"]),
        ({"TASKS": "/usr/lib"}, ["tasks", "train.jsonl"]),
        ({"TASKS": 3}, ["PromptTune.tasks", "3"]),
        ({"MODEL": "unknown"}, ["model", "unknown"]),
        ({"MAX_INPUT_LENGTH": 65}, ["PromptTune.max_input_length", "64", "lower it"]),
        ({"LENGTH": 2000}, ["PromptTune.length", "1024"]),
        ({"INIT": "zeros"}, ["PromptTune.init", "labels"]),
        ({"OPTIMIZER": "lion"}, ["PromptTune.optimizer", "adamw"]),
        ({"PromptTune__export": "onnx"}, ["PromptTune.export", "safetensors"]),
        ({"PromptTune__prompt_kind": "affine"}, ["PromptTune.prompt_kind", "choose tokens"]),
        ({"PromptTune__prompt_kind": "deep", "INIT": "labels"}, ["PromptTune.init", "shared"]),
        ({"PromptTune__prompt_kind": "deep", "LENGTH": 300}, ["PromptTune.length", "256"]),
        (
            {"PromptTune__prompt_kind": "deep", "PromptTune__export": "npy"},
            ["PromptTune.export", "safetensors"],
        ),
        ({"PromptTune__nope": 1}, ["nope"]),
        ({"NOPE": 1}, ["NOPE"]),
        ({"PromptTune__seeds": ()}, ["PromptTune.seeds"]),
        ({"PromptTune__at_once": 0}, ["PromptTune.at_once", "at least 1"]),
    ],
)
def test_what_cannot_be_asked_is_one_line(
    root: Path, tasks: Path, values: dict[str, object], words: list[str]
) -> None:
    ended = tune(root, tasks, **values)
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1), ended.err
    for word in words:
        assert word in ended.err


def test_a_folder_without_training_rows_is_told(root: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    write_rows(tmp_path / "mine/test.jsonl", examples(2))
    for file in ((), ("gin/tasks/jsonl.gin",)):
        named = {"FOLDER" if file else "TASKS": str(tmp_path / "mine")}
        ended = start(root, "prompt_tune", files=file, **SMALL, **named)
        assert (ended.code, ended.err.count("\n")) == (2, 1), ended.err
        assert "train.jsonl" in ended.err


def test_a_broken_row_stops_the_run_before_it_begins(root: Path, tmp_path: Path) -> None:
    for name, target in (("fine", "red"), ("long", "red door " * 100)):
        (tmp_path / name).mkdir()
        write_rows(tmp_path / name / "train.jsonl", [Example("a secret", target)])
    ended = tune(root, tmp_path, OUTPUT=str(tmp_path / "out"))
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "long, train: row 1: 'target' has" in ended.err
    assert "secret" not in ended.err
    assert not (tmp_path / "out").exists()


def test_without_the_extra_seqio_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "seqio", None)  # as if it were not installed
    seqio = ("gin/tasks/seqio.gin",)
    ended = start(root, "prompt_tune", files=seqio, **SMALL, SEQIO_TASK="glue_sst2")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "pip install 'ptsys[seqio]'" in ended.err


def test_only_runs_that_can_be_queued_are(root: Path, tasks: Path) -> None:
    ended = start(root, "evaluate", "--submit", MODEL=MODEL, TASKS=str(tasks))
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "Evaluate runs in place alone" in ended.err
    assert "--submit" in tune(root, tasks, "--wait").err
