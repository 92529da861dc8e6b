"""Commands work on a local folder, and with PTSYS_URL on a service; which of the two, and whose."""

from pathlib import Path

import numpy as np
import pytest
from commands import MODEL, Run, call, examples, write_rows

from ptsys.types.example import Example


def test_keys_are_made_listed_and_revoked(run: Run) -> None:
    made = run("keys", "create", "ann", "--note", "laptop", "--json").json
    listed = run("keys", "list", "--user", "ann", "--json").json
    assert [one["id"] for one in listed] == [made["id"]]
    assert made["secret"] not in str(listed)
    revoked = run("keys", "revoke", made["id"], "--json").json
    assert revoked["revoked"] is not None
    assert run("keys", "revoke", "key-none").code == 2


def test_models_are_told_with_their_sizes(run: Run, place: str) -> None:
    found = {one["name"]: one for one in run("models", "list", "--json").json}
    assert set(found) == {"tiny", MODEL}
    fields = {"name", "fingerprint", "source", "parameters", "d_model", "vocab_size", "builtin"}
    assert set(found[MODEL]) == fields
    assert found[MODEL]["d_model"] == 32
    assert (found[MODEL]["source"] is None) == (place == "url")  # its folders are its own affair
    assert MODEL in run("models", "list").out
    assert run("models", "delete", "nope").code == 2


def test_meta_prompts_are_listed_and_a_task_must_be_told(run: Run, data: Path) -> None:
    listed = run("meta", "list", "--json").json
    assert [(one["name"], one["model"], one["owner"]) for one in listed] == [
        ("generic", "tiny", None)
    ]
    untold = run("meta", "generate", "--name", "some")
    assert (untold.code, untold.err.count("\n")) == (2, 1), untold.err
    assert "--examples" in untold.err
    both = run("predict", "reviews", data, "--examples", data)
    assert (both.code, both.err.count("\n")) == (2, 1), both.err
    alone = run("predict", "reviews")
    assert (alone.code, "INPUTS.jsonl" in alone.err) == (2, True), alone.err


def test_a_job_that_waits_is_shown_and_cancelled(run: Run, data: Path) -> None:
    made = run("train", data, "--name", "waits", "--json")
    assert made.code == 0, made.err
    job = made.json
    assert job["spec"]["model"] == MODEL  # the folder's, or the service's own
    assert [one["id"] for one in run("jobs", "list", "--json").json] == [job["id"]]
    assert "1 of 1" in run("jobs", "show", job["id"]).out
    cancelled = run("jobs", "cancel", job["id"], "--json").json
    assert cancelled["state"] == "cancelled"
    events = run("jobs", "watch", job["id"], "--json").out.splitlines()
    assert "cancelled" in events[-1]
    assert run("jobs", "watch", job["id"]).code == 1  # there is no prompt


def test_what_is_refused_leaves_no_rows_behind(run: Run, data: Path, root: Path) -> None:
    before = sorted((root / "datasets").glob("*.jsonl"))
    other = write_rows(data.with_name("unstored.jsonl"), examples(5))
    ended = run("train", other, "--name", "n", "--init", "prompt:nope")
    assert (ended.code, ended.err.count("\n")) == (2, 1), ended.err
    assert "nope" in ended.err
    assert sorted((root / "datasets").glob("*.jsonl")) == before


def test_a_prompt_goes_in_is_told_and_goes_out(run: Run, tmp_path: Path) -> None:
    array = np.random.default_rng(0).normal(size=(3, 32)).astype(np.float32)
    np.save(tmp_path / "in.npy", array)
    made = run("prompts", "import", tmp_path / "in.npy", "--name", "brought", "--json")
    assert made.code == 0, made.err
    assert (made.json["model"], made.json["length"]) == (MODEL, 3)
    assert run("prompts", "edit", "brought", "--tag", "x", "--json").json["tags"] == ["x"]
    assert "brought" in run("prompts", "list").out
    assert run("prompts", "show", "local/brought", "--json").json["id"] == made.json["id"]
    assert run("prompts", "export", "brought", tmp_path / "out.npy").code == 0
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), array)
    assert run("prompts", "delete", "brought", "--json").json["name"] == "brought"
    assert run("prompts", "show", "brought").code == 2


def test_without_a_worker_a_question_is_refused_at_once(run: Run, data: Path, place: str) -> None:
    ended = run("predict", "-", data)
    assert (ended.code, ended.out, ended.err.count("\n")) == (1, "", 1), ended.err
    assert "no worker serves" in ended.err
    assert ("ptsys up" in ended.err) == (place == "folder")


@pytest.mark.parametrize(
    ("before", "variables", "word"),
    [
        (("--data", "x", "--url", "http://127.0.0.1:1"), {}, "not on both"),
        (("--user", "ann"), {"PTSYS_URL": "http://127.0.0.1:1", "PTSYS_API_KEY": "k"}, "user"),
        ((), {"PTSYS_URL": "http://127.0.0.1:1"}, "PTSYS_API_KEY"),
        ((), {"PTSYS_URL": "nonsense", "PTSYS_API_KEY": "k"}, "nonsense"),
    ],
)
def test_who_asks_whom_is_told_once(
    monkeypatch: pytest.MonkeyPatch, before: tuple[str, ...], variables: dict[str, str], word: str
) -> None:
    for name in ("PTSYS_URL", "PTSYS_API_KEY", "PTSYS_DATA_DIR", "PTSYS_USER"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    ended = call(*before, "jobs", "list")
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert word in ended.err


def test_a_folder_that_is_typed_counts_more_than_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PTSYS_URL", "http://127.0.0.1:1")  # nobody is there
    monkeypatch.setenv("PTSYS_API_KEY", "k")
    ended = call("--data", tmp_path, "jobs", "list", "--json")
    assert (ended.code, ended.json) == (0, [])


def test_a_meta_prompts_training_is_queued_from_a_folder(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "tasks"
    (folder / "second").mkdir(parents=True)
    write_rows(folder / "first.jsonl", examples(6))
    write_rows(folder / "second" / "train.jsonl", examples(7))
    write_rows(folder / "third.jsonl", examples(8))
    (folder / "third.txt").write_text("Say the colour.\n")
    small = ("--name", "words", "--tasks-per-step", 2, "--held-out", 1, "--json")
    made = run("meta", "train", "--data", folder, *small)
    assert made.code == 0, made.err
    spec = made.json["spec"]
    assert (spec["kind"], spec["method"], spec["optimizer"]["kind"]) == ("meta", "joint", "adamw")
    assert spec["optimizer"]["learning_rate"] == 1e-3
    assert [(task["name"], task["description"]) for task in spec["tasks"]] == [
        *(("first", None), ("second", None), ("third", "Say the colour."))
    ]
    assert "3, of which 1 are scored on" in run("jobs", "show", made.json["id"]).out
    run("jobs", "cancel", made.json["id"])
    refused = (
        (("--held-out", 3), "held_out"),
        (("--tuning-steps", 5), "tuning_steps"),
        (("--batch-size", 1), "batch_size"),
        (("--init", "labels"), "init"),
        (("--from-library", "nothing of this name"), "from_library"),
        (("--prompt", "first"), "TASK=PROMPT"),
    )
    for given, words in refused:
        ended = run("meta", "train", "--data", folder, "--name", "other", *given)
        assert (ended.code, ended.err.count("\n")) == (2, 1), ended.err
        assert words in ended.err, ended.err
    regression = ("--method", "regression", "--name", "compared", "--held-out", 1, "--json")
    made = run("meta", "train", "--data", folder, *regression)
    assert made.code == 0, made.err
    assert [task["prompt"] for task in made.json["spec"]["tasks"]] == [None] * 3
    run("jobs", "cancel", made.json["id"])
    write_rows(folder / "bare.jsonl", [Example("a"), Example("b")])
    ended = run("meta", "train", "--data", folder, "--name", "other")
    assert (ended.code, "bare" in ended.err) == (2, True), ended.err
