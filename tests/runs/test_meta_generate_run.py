"""`ptsys run` of meta_generate.gin: prompts for many tasks, each written once, whatever happens."""

import json
from pathlib import Path

import numpy as np
import pytest
from commands import MODEL, call, write_rows
from meta_prompts import random_meta
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from small_runs import SMALL, flags, killed, rows, start, stores, tensors, write_tasks

from ptsys.errors import InvalidInput
from ptsys.runs.tasks.task_lines import told_tasks
from ptsys.store.model_folders import META_PROMPT

NAMES = ["colours", "parity", "said", "shout"]


@pytest.fixture(scope="module")
def meta(root: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("meta") / "meta.safetensors"
    save_file(random_meta(32), file)
    ended = call("--data", root, "prompts", "import", file, "--name", "letters", "--model", MODEL)
    assert ended.code == 0, ended.err
    return "letters"


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task with its rows in a file, two with theirs in the line, and one in words alone."""
    folder = tmp_path_factory.mktemp("told")
    write_rows(folder / "colours.jsonl", rows("colours", 0, 5))
    lines = [
        {"name": "colours", "examples": "colours.jsonl"},
        *(
            {"name": name, "examples": [json.loads(x.to_json()) for x in rows(name, 0, count)]}
            for name, count in (("parity", 3), ("shout", 1))
        ),
        {"name": "said", "description": "say it aloud"},
    ]
    file = folder / "tasks.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


@pytest.mark.device
def test_prompts_are_written_once_into_the_library_or_into_shards(
    root: Path, tasks: Path, meta: str, tmp_path: Path
) -> None:
    values = {"MODEL": MODEL, "TASKS": str(tasks), "META": meta}
    ended = start(root, "meta_generate", "--json", **values)
    assert ended.code == 0, ended.err
    assert (ended.json["prompts"], ended.json["there already"]) == (4, 0)
    assert "4 of 4" in ended.err
    written = {name: x for name, x in tensors(root).items() if name in NAMES}
    assert sorted(written) == NAMES
    record = stores(root)[1].get("parity", "local")
    letters = stores(root)[1].get(meta, "local")
    assert [one.prompt for one in record.parents] == [letters.id]
    assert (record.initialization["kind"], record.initialization["examples"]) == ("meta", 3)
    again = start(root, "meta_generate", "--json", **values)
    assert (again.json["prompts"], again.json["there already"]) == (0, 4)

    shards = {**values, "OUTPUT": str(tmp_path / "out"), "MetaGenerate__into": "shards"}
    shards["MetaGenerate__shard_size"] = 3
    ended = start(root, "meta_generate", "--json", **shards)
    assert ended.code == 0, ended.err
    first, second = sorted((tmp_path / "out").glob("prompts-*.safetensors"))
    found = load_file(first) | load_file(second)
    assert sorted(found) == NAMES
    for name, array in found.items():
        np.testing.assert_allclose(array, written[name], atol=1e-5)
    with safe_open(first, "numpy") as file:
        assert file.metadata()["meta_prompt"] == letters.id
    second.unlink()
    again = start(root, "meta_generate", "--json", **shards)
    assert (again.json["prompts"], again.json["there already"]) == (1, 3)

    changed = start(root, "meta_generate", "--json", **values, MetaGenerate__examples=2)
    assert changed.code == 1
    assert [one["task"] for one in changed.json["failed"]] == ["colours", "parity"]


@pytest.mark.device
def test_a_run_trains_prompts_from_what_is_written_of_their_rows(
    root: Path, tmp_path: Path
) -> None:
    save_file(random_meta(32), root / "models" / MODEL / META_PROMPT)
    folder = write_tasks(tmp_path / "tasks") / "colours"
    values = SMALL | {"TASKS": str(folder), "INIT": "meta", "OUTPUT": str(tmp_path / "out")}
    ended = start(root, "prompt_tune", **values | {"PromptTune__prefix": "begun."})
    assert ended.code == 0, ended.err
    record = stores(root)[1].get("begun.colours", "local")
    assert record.initialization == {
        "kind": "meta",
        "meta_prompt": "generic",
        "aggregate": "mean",
    }


@pytest.mark.slow
@pytest.mark.device
def test_a_killed_run_goes_on_with_what_is_not_written(
    root: Path, meta: str, tmp_path: Path
) -> None:
    folder = write_tasks(tmp_path / "tasks")
    values = {"MODEL": MODEL, "TASKS": str(folder), "META": meta, "OUTPUT": str(tmp_path / "out")}
    values["MetaGenerate.prefix"] = "few."
    line = ["--data", str(root), "run", *flags("meta_generate", values)]
    small = "from ptsys.runs import written_prompts; written_prompts._LIBRARY_AT_ONCE = 1"
    killed(line, "ptsys.runs.written_prompts:InLibrary.keep", 2, small)
    before = {name: x for name, x in tensors(root).items() if name.startswith("few.")}
    assert len(before) == 2
    values["MetaGenerate__prefix"] = values.pop("MetaGenerate.prefix")
    ended = start(root, "meta_generate", "--json", **values)
    assert (ended.code, ended.json["prompts"], ended.json["there already"]) == (0, 1, 2), ended.err
    after = tensors(root)
    for name, array in before.items():
        np.testing.assert_array_equal(after[name], array)


def test_wrong_tasks_are_told_by_their_line(tmp_path: Path) -> None:
    file = tmp_path / "tasks.jsonl"
    fine = '{"name": "a", "description": "d"}\n'
    wrong = {
        "{": "line 2: this is not JSON",
        '{"name": 3}': "line 2: a task has",
        '{"name": "b"}': "line 2: give examples, a description, or both",
        '{"name": "b", "examples": [{"input": "i"}]}': "line 2: an example is",
        '{"name": "b", "examples": "no.jsonl"}': "line 2",
        '{"name": "a", "description": "e"}': "two tasks 'a'",
        '{"name": "a b", "description": "e"}': "line 2: a name has",
    }
    for line, words in wrong.items():
        file.write_text(fine + line)
        with pytest.raises(InvalidInput, match=words):
            told_tasks(file, 16, described=False, prefix="")
