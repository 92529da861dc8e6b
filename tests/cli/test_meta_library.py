"""`meta search`, and meta-prompts that go out as a folder and come in elsewhere."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from commands import MODEL, Run, call, examples, write_rows
from meta_prompts import random_meta
from safetensors.numpy import load_file, save_file

from ptsys.config import Settings
from ptsys.jobs.limits import read_limits
from ptsys.jobs.service import Service
from ptsys.library.starts import read_start
from ptsys.prompts.meta_about import AboutMetaPrompt
from ptsys.prompts.orbax_form import read_tree, write_tree
from ptsys.stack.stack import Stack
from ptsys.store.model_folders import META_PROMPT

pytestmark = pytest.mark.device
WIDTH = 32
ABOUT = {
    "name": "near",
    "model": MODEL,
    "method": "joint",
    "aggregate": "mean",
    "examples": 16,
    "tasks": [{"name": "plurals", "description": "Write the plural."}, {"name": "pasts"}],
    "held_out_scores": {"accuracy": 0.5, "accuracy/pasts": 0.5},
    "description": "Words into words",
}


@pytest.fixture(scope="module")
def served(root: Path) -> Iterator[str]:
    """A stack whose model ships with a meta-prompt; its fingerprint."""
    save_file(random_meta(WIDTH, seed=5), root / "models" / MODEL / META_PROMPT)
    settings = Settings(data_dir=root, redis_url=None, database_url=None, model=MODEL)
    with Stack(settings, model=MODEL) as stack:
        stack.wait_until_ready()
        yield read_limits(root, MODEL).fingerprint


@pytest.fixture(scope="module")
def folders(root: Path, served: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two meta-prompts as folders, of domains along two axes, brought in; a prompt near one."""
    made = tmp_path_factory.mktemp("made")
    for number, name in enumerate(("near", "far")):
        axis = np.eye(WIDTH, dtype=np.float32)[number]
        (made / name).mkdir()
        tree = random_meta(WIDTH, seed=number) | {"domain": np.tile(axis, (3, 1))}
        save_file(tree, made / name / "meta_prompt.safetensors")
        about = ABOUT | {"name": name, "model_fingerprint": served}
        (made / name / "meta_prompt.json").write_text(json.dumps(about))
        ended = call("--data", root, "prompts", "import", made / name, "--name", name)
        assert ended.code == 0, ended.err
        assert "plurals, pasts" in ended.out
    start = read_start(root, served)
    np.save(made / "mine.npy", start[-4:] + np.eye(WIDTH, dtype=np.float32)[0])
    ended = call(
        *("--data", root, "prompts", "import", made / "mine.npy"),
        *("--name", "mine", "--model", MODEL),
    )
    assert ended.code == 0, ended.err
    return made


@pytest.mark.usefixtures("folders")
def test_those_for_tasks_like_mine_are_found(run: Run) -> None:
    found = run("meta", "search", "mine", "--json").json
    assert [(x["prompt"]["name"], x["comparable"]) for x in found] == [
        ("near", False),
        ("far", False),
    ]
    assert [x["score"] for x in found] == pytest.approx([1, 0], abs=1e-5)
    assert found[0]["prompt"]["hyperparameters"]["tasks"] == ABOUT["tasks"]
    assert found[0]["prompt"]["scores"] == {}  # nobody saw them here
    assert run("prompts", "search", "mine", "--prompt-kind", "meta", "--json").json == found
    shown = run("meta", "search", "mine").out
    assert all(word in shown for word in ("near", "1.000?", "plurals"))
    assert "plurals, pasts" in run("prompts", "show", "near").out


@pytest.mark.usefixtures("folders")
def test_a_few_rows_are_enough(run: Run, tmp_path: Path, place: str) -> None:
    """The model's own meta-prompt writes the prompt to search with, by the mean."""
    rows = write_rows(tmp_path / "few.jsonl", examples(4))
    by_rows = run("meta", "search", "--examples", rows, "--json")
    assert by_rows.code == 0, by_rows.err
    told = ("--examples", rows, "--aggregate", "mean", "--name", f"written-{place}")
    assert run("meta", "generate", *told).code == 0
    by_prompt = run("meta", "search", f"written-{place}", "--json")
    one, other = ({x["prompt"]["id"]: x["score"] for x in y.json} for y in (by_rows, by_prompt))
    assert one == pytest.approx(other, abs=1e-4)
    assert len(one) == 2
    for wrong, word in (
        (["mine", "--examples", rows], "examples"),
        ([], "--examples"),
        (["nobody"], "nobody"),
    ):
        ended = run("meta", "search", *wrong)
        assert (ended.code, ended.err.count("\n")) == (2 if wrong != ["nobody"] else ended.code, 1)
        assert ended.code != 0
        assert word in ended.err


def test_a_folder_goes_out_and_comes_in_elsewhere_as_it_was(
    run: Run, folders: Path, imported: Path, served: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    ended = run("prompts", "export", "near", out)
    assert ended.code == 0, ended.err
    about = AboutMetaPrompt.read((out / "meta_prompt.json").read_text())
    assert about.model_fingerprint == served
    assert about.settings == {x: ABOUT[x] for x in about.settings}
    assert about.held_out_scores == ABOUT["held_out_scores"]
    assert about.description == ABOUT["description"]
    other = tmp_path / "other"
    subprocess.run(["cp", "-r", f"{imported}/.", str(other)], check=True)
    ended = call("--data", other, "prompts", "import", out, "--name", "again", "--json")
    assert ended.code == 0, ended.err
    assert ended.json["description"] == ABOUT["description"]
    back = tmp_path / "back"
    assert call("--data", other, "prompts", "export", "again", back).code == 0
    sent = load_file(folders / "near" / "meta_prompt.safetensors")
    came = load_file(back / "meta_prompt.safetensors")
    assert sent.keys() == came.keys()
    for name, array in sent.items():
        np.testing.assert_array_equal(came[name], array)


def test_another_model_is_refused_in_one_line(run: Run, folders: Path, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    subprocess.run(["cp", "-r", str(folders / "near"), str(folder)], check=True)
    about = folder / "meta_prompt.json"
    told = json.loads(about.read_text())

    def refused(text: str, word: str) -> None:
        about.write_text(text)
        ended = run("prompts", "import", folder, "--name", "no", "--model", MODEL)
        assert (ended.code, ended.err.count("\n")) == (2, 1), ended.err
        assert word in ended.err

    refused(json.dumps(told | {"model_fingerprint": "0" * 16}), "0" * 16)
    refused(json.dumps(told | {"tasks": [{"name": 3}]}), "meta_prompt.tasks.0.name")
    refused("no JSON", "no JSON")
    about.write_text(json.dumps(told))
    (folder / "meta_prompt.safetensors").unlink()
    refused(json.dumps(told), "meta_prompt.safetensors")


@pytest.fixture(scope="module")
def library(root: Path, served: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Bob's public prompts: `close` to what is written of the task of `examples`, as `secret` is,
    whose dataset nobody sees, and `wide` of it. The task is a dataset of one's own too."""
    rows = write_rows(tmp_path_factory.mktemp("own") / "few.jsonl", examples(4))
    told = ("--examples", rows, "--aggregate", "mean", "--name", "guide", "--model", MODEL)
    ended = call("--data", root, "meta", "generate", *told)
    assert ended.code == 0, ended.err
    service = Service(Settings(data_dir=root, redis_url=None, database_url=None))
    try:
        guide = service.prompts.get("guide", "local")
        written = read_tree(service.prompts.tensor_path(guide.id))["prompt"]
        start = read_start(root, served)[-len(written) :]
        service.datasets.add("own", "local", examples(4))
        ways = (("close", 1, "public"), ("wide", -1, "public"), ("secret", 1, "private"))
        for name, way, seen in ways:
            dataset = service.datasets.add(f"{name}-rows", "bob", examples(5), visibility=seen)
            record = guide.model_copy(
                update={
                    "id": service.prompts.new_id(),
                    "name": name,
                    "owner": "bob",
                    "visibility": "public",
                    "dataset": dataset.id,
                    "initialization": {"kind": "shared"},
                }
            )
            tensor = start + way * (written - start)
            write_tree(service.prompts.tensor_path(record.id), {"prompt": tensor})
            service.prompts.add(record)
    finally:
        service.close()


@pytest.mark.usefixtures("library")
def test_tasks_near_ones_own_are_learned_from_too(run: Run, place: str) -> None:
    """The nearest, with its prompt; none whose dataset one may not see."""
    given = ("--dataset", "own", "--held-out", 1, "--tasks-per-step", 1, "--steps", 1, "--json")
    for count, names in ((1, ["close", "own"]), (9, ["close", "wide", "own"])):
        name = f"near-{count}-{place}"
        made = run("meta", "train", "--related", count, *given, "--name", name)
        assert made.code == 0, made.err
        run("jobs", "cancel", made.json["id"])
        tasks = made.json["spec"]["tasks"]
        assert [task["name"] for task in tasks] == names
        assert [task["prompt"] is None for task in tasks] == [False] * len(names[1:]) + [True]
    for wrong, word in (
        (("--dataset", "own", "--dataset", "own"), "dataset"),
        (("--from-library", "x", "--related", 2), "related"),
    ):
        ended = run("meta", "train", *wrong, "--name", "no")
        assert (ended.code, ended.err.count("\n"), word in ended.err) == (2, 1, True), ended.err
