"""`ptsys run` of evaluate.gin and infer.gin: every row is answered once, whatever happens."""

import json
from pathlib import Path

import numpy as np
import pytest
from commands import MODEL, Ended, call, examples, write_rows
from small_runs import TASKS, flags, killed, rows, start, write_tasks

from ptsys.data.metrics import exact_match
from ptsys.runs import answering

CHUNK = 4


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "CHUNK", CHUNK)


@pytest.fixture(scope="module")
def prompt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prompt") / "prompt.npy"
    np.save(path, np.random.default_rng(0).normal(size=(4, 32)).astype(np.float32))
    return path


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("inputs") / "doors.jsonl", examples(21))


def infer(root: Path, inputs: Path, prompt: Path | None, output: Path) -> Ended:
    return start(root, "infer", "--json", **values(inputs, prompt, output))


def values(inputs: Path, prompt: Path | None, output: Path) -> dict[str, object]:
    named = None if prompt is None else str(prompt)
    return {"MODEL": MODEL, "INPUTS": (str(inputs),), "PROMPT": named, "OUTPUT": str(output)}


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.device
def test_a_killed_inference_goes_on_behind_the_last_answer(
    root: Path, inputs: Path, prompt: Path, tmp_path: Path
) -> None:
    ended = infer(root, inputs, prompt, tmp_path / "whole")
    assert ended.code == 0, ended.err
    wanted = lines(tmp_path / "whole/doors.jsonl")
    assert [line["input"] for line in wanted] == [row.input for row in examples(21)]
    assert {"input", "target", "prediction", "score"} == set(wanted[0])

    cut = tmp_path / "cut"
    line = ["--data", str(root), "run", *flags("infer", values(inputs, prompt, cut))]
    small = f"from ptsys.runs import answering; answering.CHUNK = {CHUNK}"
    killed(line, "ptsys.cli.main:os.fsync", after=2, extra=small)
    [part] = cut.glob("doors.jsonl.*.part")
    assert len(part.read_text().splitlines()) == 2 * CHUNK
    with part.open("a") as file:
        file.write('{"input": "torn')
    ended = infer(root, inputs, prompt, cut)
    assert ended.code == 0, ended.err
    found = lines(cut / "doors.jsonl")
    assert [x["prediction"] for x in found] == [x["prediction"] for x in wanted]
    np.testing.assert_allclose([x["score"] for x in found], [x["score"] for x in wanted], atol=1e-4)
    assert not list(cut.glob("*.part"))


def test_other_questions_have_other_answers(
    root: Path, inputs: Path, prompt: Path, tmp_path: Path
) -> None:
    ended = infer(root, inputs, prompt, tmp_path)
    assert ended.code == 0, ended.err
    assert "rows answered: 0 of 21" in ended.err  # no terminal, so lines
    before = (tmp_path / "doors.jsonl").stat().st_mtime_ns
    assert infer(root, inputs, prompt, tmp_path).code == 0
    assert (tmp_path / "doors.jsonl").stat().st_mtime_ns == before  # nothing is done twice
    first = lines(tmp_path / "doors.jsonl")
    assert infer(root, inputs, None, tmp_path).code == 0
    assert [x["score"] for x in lines(tmp_path / "doors.jsonl")] != [x["score"] for x in first]


def test_evaluation_is_the_metric_of_the_answers(root: Path, prompt: Path, tmp_path: Path) -> None:
    tasks = write_tasks(tmp_path / "tasks")
    ended = start(
        root,
        "evaluate",
        "--json",
        MODEL=MODEL,
        TASKS=str(tasks),
        PROMPT=str(prompt),
        OUTPUT=str(tmp_path / "out"),
    )
    assert ended.code == 0, ended.err
    assert isinstance(ended.json, dict)
    told = {(line["task"], line["part"]): line for line in ended.json["scores"]}
    assert set(told) == {(name, part) for name in TASKS for part in ("validation", "test")}
    answers = lines(tmp_path / "out/answers/colours.test.jsonl")
    right = exact_match([x["prediction"] for x in answers], [x["target"] for x in answers])
    assert told["colours", "test"]["scores"]["accuracy"] == pytest.approx(right, abs=1e-4)
    assert (told["shout", "test"]["majority"], told["parity", "test"]["majority"]) == (1.0, 0.5)
    assert told["parity", "test"]["rows"] == 8


@pytest.mark.parametrize(
    ("run", "changes", "words"),
    [
        ("infer", {"INPUTS": ("nowhere.jsonl",)}, ["Infer.inputs", "nowhere.jsonl"]),
        ("infer", {"INPUTS": ()}, ["Infer.inputs", "at least one"]),
        ("infer", {"PROMPT": "nobody"}, ["Infer.prompt", "nobody", "file"]),
        ("infer", {"Infer__method": "guess"}, ["Infer.method", "greedy"]),
        ("infer", {"Infer__max_tokens": 500}, ["Infer.max_tokens", "32", "lower it"]),
        ("evaluate", {"TASKS": "/nowhere"}, ["tasks", "/nowhere"]),
        ("evaluate", {"Evaluate__parts": ("train",)}, ["validation"]),
        ("evaluate", {}, ["Evaluate.prompt", "bare"]),
    ],
)
def test_what_cannot_be_asked_is_one_line(
    run: str, changes: dict[str, object], words: list[str], root: Path, tmp_path: Path
) -> None:
    (tmp_path / "bare").mkdir()
    for part in ("train", "test"):
        write_rows(tmp_path / f"bare/{part}.jsonl", rows("shout", 0, 2))
    given = {"TASKS": str(tmp_path / "bare")}
    if run == "infer":
        given = values(tmp_path / "bare/test.jsonl", None, tmp_path / "out")
    ended = start(root, run, **{"MODEL": MODEL} | given | changes)
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1), ended.err
    for word in words:
        assert word in ended.err


def test_a_task_without_rows_to_score_on_is_told(root: Path, tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    write_rows(tmp_path / "bare/train.jsonl", rows("shout", 0, 2))
    ended = start(root, "evaluate", MODEL=MODEL, TASKS=str(tmp_path), PROMPT=None)
    assert ended.code == 2
    assert "'bare' has no rows to score on" in ended.err


def test_a_plan_names_files_and_rows(root: Path, inputs: Path, tmp_path: Path) -> None:
    ended = start(root, "infer", "--dry-run", "--json", **values(inputs, None, tmp_path / "x"))
    assert ended.code == 0, ended.err
    assert isinstance(ended.json, dict)
    assert ended.json["plan"]["files"] == [{"inputs": str(inputs), "rows": 21}]
    assert not (tmp_path / "x").exists()
    typed = ("--data", root, "run", *flags("infer", values(inputs, None, tmp_path)), "--dry-run")
    assert "Infer.method = 'greedy'" in call(*typed).out
