"""Rows that a model cannot write or read whole: every command refuses them alike, before anything
is asked or stored, and `--truncate` cuts inputs with one line that counts them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from commands import MODEL, Run, call, examples, write_rows
from small_runs import start

from ptsys.types.example import Example

LONG = "the red door " * 40  # of 64 tokens that the model reads
Command = Callable[[Path, Path], list[object]]
LEARNING: dict[str, Command] = {
    "train": lambda rows, _: ["train", rows, "--name", "n"],
    "validation": lambda rows, folder: [
        *("train", write_rows(folder / "good.jsonl", examples(4)), "--name", "n"),
        *("--validation", rows),
    ],
    "multitask": lambda rows, _: ["multitask", "--name", "n", "--task", f"a={rows}"],
    "augment": lambda rows, _: ["augment", "--data", rows, "--name", "n"],
    "search": lambda rows, _: ["prompts", "search", "--data", rows],
    "evaluate": lambda rows, folder: ["evaluate", prompt(folder), rows],
    "gradients": lambda rows, folder: [
        *("gradients", prompt(folder), rows, "--output", folder / "g.safetensors")
    ],
}
ANSWERING: dict[str, Command] = {
    "predict": lambda rows, folder: ["predict", prompt(folder), rows],
    "generate": lambda rows, _: ["prompts", "generate", "stored", rows, "--dataset", "made"],
}


def prompt(folder: Path) -> Path:
    path = folder / "prompt.npy"
    np.save(path, np.zeros((2, 32), np.float32))
    return path


@pytest.fixture(scope="module", autouse=True)
def stored(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = prompt(tmp_path_factory.mktemp("prompt"))
    ended = call("--data", root, "prompts", "import", path, "--name", "stored", "--model", MODEL)
    assert ended.code == 0, ended.err


@pytest.mark.parametrize("command", LEARNING.values(), ids=list(LEARNING))
def test_a_target_that_cannot_be_written_is_refused(
    run: Run, tmp_path: Path, command: Command
) -> None:
    rows = [*examples(2), Example("a", "b▁c"), *examples(2), Example("a", "▁")]
    ended = run(*command(write_rows(tmp_path / "rows.jsonl", rows), tmp_path))
    assert ended.code == 2, ended.err
    for told in ("rows.jsonl", "row 3", "'▁'", "2 of 6 rows"):
        assert told in ended.err


@pytest.mark.parametrize(
    "command", [*LEARNING.values(), *ANSWERING.values()], ids=[*LEARNING, *ANSWERING]
)
def test_an_input_that_is_too_long_is_refused(run: Run, tmp_path: Path, command: Command) -> None:
    rows = [*examples(8), Example(LONG, "red"), Example(LONG, "blue")]
    ended = run(*command(write_rows(tmp_path / "rows.jsonl", rows), tmp_path))
    assert ended.code == 2, ended.err
    for told in ("input", "rows.jsonl", "row 9", "at most 64", "2 of 10 inputs", "truncate"):
        assert told in ended.err


@pytest.mark.parametrize("name", ["train", "multitask", "augment"])
def test_truncate_cuts_with_one_line(run: Run, tmp_path: Path, name: str) -> None:
    rows = [*examples(8), Example(LONG, "red"), Example(LONG, "blue")]
    given = LEARNING[name](write_rows(tmp_path / "rows.jsonl", rows), tmp_path)
    ended = run(*(f"cut-{name}" if word == "n" else word for word in given), "--truncate")
    assert ended.code == 0, ended.err
    line = "2 of 10 inputs are longer than the 64 tokens that are read; their ends are cut off"
    assert ended.err.count(line) == 1


def test_a_shorter_limit_of_the_jobs_own_counts_too(run: Run, tmp_path: Path) -> None:
    """Of what is trained on; rows to score on are read as far as the model reads."""
    path = write_rows(tmp_path / "rows.jsonl", examples(8))
    ended = run("train", path, "--name", "short", "--max-input-length", 4)
    assert ended.code == 2
    assert "at most 4" in ended.err
    good = write_rows(tmp_path / "good.jsonl", [Example("a", "b")] * 4)
    ended = run(
        *("train", good, "--name", "short", "--max-input-length", 4, "--validation", path)
    )  # fmt: skip
    assert ended.code == 0, ended.err


def test_a_row_without_a_target_is_cut_only_when_its_rest_does_not_fit(
    run: Run, tmp_path: Path
) -> None:
    """Spans are taken out of it first."""
    for count, code in ((33, 0), (400, 2)):
        rows = [Example(" ".join(["door"] * count))]
        ended = run("train", write_rows(tmp_path / "r.jsonl", rows), "--name", f"spans{count}")
        assert ended.code == code, ended.err


@pytest.mark.parametrize("kind", ["prompt_tune", "multitask", "evaluate", "infer"])
def test_runs_do_alike(root: Path, tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "doors"
    folder.mkdir()
    rows = [*examples(8), Example(LONG, "red"), Example(LONG, "blue")]
    for part in ("train", "validation"):
        write_rows(folder / f"{part}.jsonl", rows)
    named: dict[str, object] = {"MODEL": MODEL, "OUTPUT": str(tmp_path / "out")}
    if kind == "infer":
        named |= {"INPUTS": (str(folder / "train.jsonl"),), "PROMPT": None}
    else:
        named |= {"TASKS": str(folder)}
    if kind in ("prompt_tune", "multitask"):
        named |= {"MAX_INPUT_LENGTH": 64, "STEPS": 1, "LENGTH": 4}
    if kind == "multitask":
        named |= {"NAME": "together"}
    ended = start(root, kind, "--dry-run", "--json", **named)
    assert ended.code == 2, ended.err
    for told in ("row 9", "at most 64", "2 of 10 inputs", "truncate"):
        assert told in ended.err
    ended = start(root, kind, "--dry-run", "--json", **named, TRUNCATE=True)
    assert ended.code == 0, ended.err
    parts = {"prompt_tune": 2, "multitask": 2}.get(kind, 1)
    assert ended.json["plan"]["cut_inputs"] == 2 * parts  # type: ignore[index]
    if kind == "infer":
        return
    for part in ("train", "validation"):
        write_rows(folder / f"{part}.jsonl", [*examples(2), Example("a", "b▁c")])
    ended = start(root, kind, "--dry-run", **named)
    assert ended.code == 2, ended.err
    for told in ("doors", "row 3", "'▁'"):
        assert told in ended.err
