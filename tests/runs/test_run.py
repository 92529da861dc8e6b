"""`ptsys run`: what gin files and flags describe is what runs, and it goes on where it stopped."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from commands import call, clean_environment, command
from waiting import until

from ptsys.errors import InvalidInput
from ptsys.models.description import read_description
from ptsys.models.registry import BUILTIN
from ptsys.pretraining.run import PretrainRun
from ptsys.runs.gin_bindings import run_from_gin
from ptsys.runs.start import gin_bindings

FILE = "gin/runs/pretrain_tiny.gin"
TINY = {
    "VOCAB_SIZE": 640,
    "T5Config.d_model": 16,
    "T5Config.num_heads": 2,
    "T5Config.head_dim": 8,
    "T5Config.d_ff": 32,
    "T5Config.encoder_layers": 1,
    "T5Config.decoder_layers": 1,
    "PoolConfig.rows": 800,
    "PoolConfig.tasks": 80,
    "PoolConfig.steps": 4,
    "PretrainRun.positions": 500,
    "PretrainRun.bank_tasks": 20,
    "PretrainRun.instructed_tasks": 20,
    "PretrainRun.log_every": 1,
    "PretrainRun.checkpoint_every": 1,
}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    words = "the old farmer painted a green door while his dog slept near the river".split()  # noqa: SIM905
    lines = [" ".join(words[i % 7 :] + words[: i % 5]) for i in range(400)]
    path.write_text("\n".join(lines))
    return path


def flags(corpus: Path, output: Path, **more: object) -> list[str]:
    values = TINY | {"CORPUS": (str(corpus),), "PretrainRun.output": str(output)} | more
    return [f"--gin_file={FILE}", *(f"--gin.{name}={value!r}" for name, value in values.items())]


def test_the_file_describes_the_built_in_model() -> None:
    run = run_from_gin([FILE], ["CORPUS = ('a.txt', 'b.txt')"])
    assert isinstance(run, PretrainRun)
    assert run.corpus == ("a.txt", "b.txt")
    assert run.output == "runs/pretrain_tiny"
    assert run.model.to_dict() == read_description(BUILTIN / "tiny").config.to_dict()


def test_flags_are_bindings_as_users_of_t5x_type_them() -> None:
    given = ["--gin.PretrainRun.steps=10", "--gin.CORPUS=('a=b.txt',)"]
    assert gin_bindings(given) == ["PretrainRun.steps = 10", "CORPUS = ('a=b.txt',)"]
    run = run_from_gin([FILE], gin_bindings(given))
    assert isinstance(run, PretrainRun)
    assert (run.steps, run.corpus) == (10, ("a=b.txt",))
    for wrong in ("--gin.X", "--gin.=3", "--gin.X=", "--steps=3", "X=3"):
        with pytest.raises(InvalidInput, match="is no binding"):
            gin_bindings([wrong])


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--gin.PretrainRun.stepz=3", ["PretrainRun", "stepz"]),
        ("--gin.Nope.x=3", ["Nope"]),
        ("--gin.NOPE=3", ["NOPE"]),
        ("--gin.CORPUS=('a.txt'", ["gin"]),
        ("--gin.T5Config.d_model=-1", ["d_model", "positive"]),
        ("--nope=3", ["--nope", "--gin.NAME=VALUE"]),
        ("--gin.CORPUS=('nowhere.txt',)", ["corpus", "nowhere.txt"]),
    ],
)
def test_what_cannot_be_bound_is_one_line(flag: str, words: list[str], tmp_path: Path) -> None:
    output = f"--gin.PretrainRun.output={str(tmp_path / 'out')!r}"
    corpus = ["--gin.CORPUS=('a.txt',)"] if "CORPUS" not in flag else []
    ended = call("run", f"--gin_file={FILE}", output, *corpus, flag)
    assert ended.code == 2
    assert (ended.out, ended.err.count("\n")) == ("", 1)
    for word in words:
        assert word in ended.err


def test_a_corpus_must_be_named() -> None:
    ended = call("run", f"--gin_file={FILE}")
    assert ended.code == 2
    assert ended.err == "error: gin.CORPUS: CORPUS has no value yet; add --gin.CORPUS=VALUE\n"


@pytest.mark.device
@pytest.mark.timeout(900)  # three processes that compile, perhaps on a busy machine
def test_a_killed_run_goes_on_to_the_same_end(corpus: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    assert _run(flags(corpus, whole, **{"PretrainRun.steps": 3}), tmp_path)["steps"] == 3
    killed = tmp_path / "killed"
    process = subprocess.Popen(
        command("run", *flags(corpus, killed, **{"PretrainRun.steps": 100_000})),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(),
    )
    try:
        until(lambda: _checkpoints(killed), 200, process)
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    reached = max(_checkpoints(killed))
    summary = _run(flags(corpus, killed, **{"PretrainRun.steps": reached + 2}), tmp_path)
    assert summary["steps"] == reached + 2
    steps = [
        json.loads(line)["step"]
        for line in (killed / "metrics.jsonl").read_text().split("\n")
        if line
    ]
    assert steps[-2:] == [reached + 1, reached + 2]
    for folder in (whole, killed):
        names = {path.name for path in (folder / "model").iterdir()}
        assert {"config.json", "vocabulary.model", "initialization.npy"} <= names


def _checkpoints(output: Path) -> list[int]:
    """Steps of whole checkpoints."""
    return [int(p.name) for p in (output / "checkpoints").glob("*") if p.name.isdigit()]


def environment() -> dict[str, str]:
    """What one process of the session has compiled serves the others."""
    return clean_environment(
        JAX_PLATFORMS="cpu",
        JAX_COMPILATION_CACHE_DIR=os.environ["PTSYS_TEST_COMPILED"],
        JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0,
    )


def _run(arguments: list[str], tmp_path: Path) -> dict:
    ended = subprocess.run(
        command("run", *arguments, "--json"),
        capture_output=True,
        text=True,
        timeout=280,
        env=environment(),
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)
