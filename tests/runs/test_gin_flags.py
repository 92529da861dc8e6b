"""gin files and bindings as users of T5X type them, and what is told of wrong ones."""

import re
import subprocess
from pathlib import Path

import pytest
from commands import call, clean_environment, command, examples, write_rows

from ptsys.models.t5.gin_bindings import config_from_gin
from ptsys.runs.gin_bindings import run_from_gin
from ptsys.runs.prompt_tune import PromptTune

TUNE = ("--gin_file=gin/runs/prompt_tune.gin", "--gin_file=gin/recipes/tiny.gin")


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """A task's folder."""
    folder = tmp_path / "doors"
    folder.mkdir()
    write_rows(folder / "train.jsonl", examples(8))
    return folder


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder with gin files of a user's own, one of which includes the other."""
    folder = tmp_path / "elsewhere"
    (folder / "sub").mkdir(parents=True)
    (folder / "mine.gin").write_text("include 'gin/recipes/tiny.gin'\nSTEPS = 7\n")
    (folder / "sub" / "top.gin").write_text("include 'mine.gin'\nBATCH_SIZE = 3\n")
    return folder


def dry(root: Path, *arguments: object) -> dict:
    ended = call("--data", root, "run", *arguments, "--dry-run", "--json")
    assert ended.code == 0, ended.err
    assert ended.err == ""
    return ended.json["plan"]  # type: ignore[index]


def test_files_outside_the_checkout_are_found_without_a_word(task: Path, tmp_path: Path) -> None:
    """gin logs an error for every place where a file is not before the one where it is."""
    own = tmp_path / "own.gin"
    own.write_text("include 'gin/recipes/tiny.gin'\nSTEPS = 9\n")
    ended = subprocess.run(
        command(
            *("--data", tmp_path / "data", "run", TUNE[0], "--gin_file=own.gin"),
            *("--gin.TASKS='doors'", "--dry-run"),
        ),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=clean_environment(),
        timeout=120,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert re.search(r"^steps +9\s*$", ended.stdout, re.MULTILINE)


def test_a_models_files_are_found_so_too(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert config_from_gin(["gin/models/small.gin"]).d_model == 512
    assert capfd.readouterr().err == ""


def test_bindings_come_in_both_forms_of_t5x(task: Path, tmp_path: Path) -> None:
    plan = dry(
        tmp_path,
        *TUNE,
        f"--gin_bindings=TASKS = {str(task)!r}",
        *("--gin_bindings", "STEPS=5"),
        "--gin.BATCH_SIZE=4",
    )
    assert (plan["steps"], plan["rows_a_step"]) == (5, 4)


def test_search_paths_are_looked_through(
    task: Path, elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plan = dry(
        tmp_path,
        *(TUNE[0], "--gin_file=sub/top.gin", f"--gin_search_paths=.,{elsewhere}"),
        f"--gin.TASKS={str(task)!r}",
    )
    assert (plan["steps"], plan["rows_a_step"]) == (7, 3)
    ended = call("run", TUNE[0], "--gin_file=sub/top.gin", f"--gin.TASKS={str(task)!r}")
    assert ended.code == 2  # what one run was told, another one does not know
    assert "sub/top.gin" in ended.err


def test_search_paths_serve_a_program_too(elsewhere: Path) -> None:
    run = run_from_gin(
        ["gin/runs/prompt_tune.gin", "mine.gin"], ["TASKS = 'x'"], search_paths=[elsewhere]
    )
    assert isinstance(run, PromptTune)
    assert run.steps == 7


@pytest.mark.parametrize(
    ("flag", "line"),
    [
        (
            "--gin.OPTIMIZER=adam",
            "error: gin.OPTIMIZER: adam is no Python literal; text stands in quotes: "
            "--gin.OPTIMIZER=\"'adam'\"",
        ),
        (
            "--gin_bindings=TASKS=../tasks",
            "error: gin.TASKS: ../tasks is no Python literal; text stands in quotes: "
            "--gin.TASKS=\"'../tasks'\"",
        ),
        (
            "--gin.PromptTune.seeds=(0, one)",
            "error: gin.PromptTune.seeds: one is no Python literal; text stands in quotes: 'one'",
        ),
        (
            "--gin.STEPS=1 2",
            "error: gin.STEPS: 1 2 is no single Python literal; check its quotes, commas and "
            "brackets",
        ),
        ("--gin.STEPS=%NOPE", "error: gin.STEPS: nothing is called %NOPE; add --gin.NOPE=VALUE"),
        ("--gin_bindings=STEPS", "error: gin: '--gin.STEPS' is no binding; write --gin.NAME=VALUE"),
        (
            "--gin_search_paths=nowhere",
            "error: gin_search_paths: there is no folder nowhere",
        ),
    ],
)
def test_what_is_no_value_is_told_with_its_fix(flag: str, line: str) -> None:
    ended = call("run", *TUNE, "--gin.TASKS='x'", flag)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(line)
    assert ended.err.count("\n") == 1


def test_a_wrong_value_in_a_file_is_told_with_its_line(tmp_path: Path) -> None:
    own = tmp_path / "own.gin"
    own.write_text("TASKS = 'x'\nOPTIMIZER = adam\n")
    ended = call("run", TUNE[0], f"--gin_file={own}")
    assert ended.code == 2
    assert ended.err == (
        f"error: gin.OPTIMIZER: {own}, line 2: adam is no Python literal; text stands in quotes: "
        "'adam'\n"
    )
