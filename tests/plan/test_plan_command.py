"""`ptsys plan` at the command line; with TPU's compiler where libtpu is installed."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ptsys.cli.main import call

SMALL = ("--input", "24", "--prompt", "8", "--target", "4", "--rows", "16")

needs_libtpu = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None,
    reason="TPU's compiler is not installed: pip install 'ptsys[plan]'",
)


def run(data: Path, *options: str, timeout: float = 280) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ptsys.cli.main", "--data", str(data), "plan", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--model", "huge", "--topology", "v5e:2x4"), "error: model: "),
        (("--model", "tiny", "--topology", "v9:2x4"), "error: topology: 'v9:2x4'"),
        (("--model", "tiny", "--topology", "v5e:2x4", "--mesh", "2x4"), "error: mesh: "),
        (("--model", "tiny", "--topology", "v5e:2x4", "--rows", "many"), "error: rows: "),
        (("--model", "tiny", "--topology", "v5e:2x4", "--rows", "max", "--best"), "error: best: "),
    ],
)
def test_what_is_wrong_is_told_in_one_line(
    options: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["plan", *options]) == 2
    told = capsys.readouterr().err
    assert told.startswith(said)
    assert told.count("\n") == 1


def test_without_libtpu_the_extra_to_install_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert call(["plan", "--model", "tiny", "--topology", "v5e:2x4"]) == 2
    assert "pip install 'ptsys[plan]'" in capsys.readouterr().err


@needs_libtpu
def test_the_built_in_models_shape_is_planned_for_eight_chips(tmp_path: Path) -> None:
    options = ("--model", "tiny", "--topology", "v5e:2x4", *SMALL, "--mesh", "data=2,model=4")
    ended = run(tmp_path, *options, "--json")
    assert ended.returncode == 0, ended.stderr
    assert "compiling 16 rows" in ended.stderr
    told = json.loads(ended.stdout)
    assert told["fits"]
    assert told["chips"] == 8
    hbm = told["hbm"]
    assert hbm["hbm"] == hbm["used"] + hbm["headroom"]
    assert hbm["weights"] > 1e6 / 2  # two bytes each, over four chips
    assert any(x["kind"] == "all-reduce" and x["group"] == 4 for x in told["collectives"])
    assert told["roofline"]["least"] > 0

    again = run(tmp_path, *options)  # remembered: as a table, and at once
    assert again.returncode == 0
    assert "headroom" in again.stdout
    assert "(0 s)" not in again.stderr
    (kept,) = (tmp_path / "plans").iterdir()
    assert json.loads(kept.read_text())["case"]["rows"] == 16


@needs_libtpu
def test_the_kernel_keeps_scores_out_of_memory(tmp_path: Path) -> None:
    options = ("--model", "tiny", "--topology", "v5e:2x4", "--mesh", "data=8,model=1", "--json")
    sizes = ("--input", "180", "--prompt", "20", "--target", "4", "--rows", "32")
    held = {}
    for attention in ("kernel", "blocks"):
        ended = run(tmp_path, *options, *sizes, "--attention", attention)
        assert ended.returncode == 0, ended.stderr
        held[attention] = json.loads(ended.stdout)["hbm"]["activations"]
    assert held["kernel"] < held["blocks"]


@needs_libtpu
def test_a_compilation_that_takes_too_long_leaves_no_process(tmp_path: Path) -> None:
    ended = run(tmp_path, "--model", "tiny", "--topology", "v5e:2x4", "--timeout", "1", *SMALL[:6])
    assert ended.returncode == 1
    assert "--timeout" in ended.stderr
    assert not list(tmp_path.glob("plans/*"))
    assert str(tmp_path) not in _environments("ptsys.plan.compiler")


def _environments(module: str) -> str:
    """The working folders of running processes of that module, by their command lines."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if module.encode() in (process / "cmdline").read_bytes():
                found.append(os.readlink(process / "cwd"))
        except OSError:
            continue
    return "\n".join(found)
