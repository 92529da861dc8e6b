"""`ptsys augment`, through a real stack."""

from pathlib import Path

import pytest
from commands import MODEL, Run, examples, write_rows

from ptsys.stack.stack import Stack

pytestmark = pytest.mark.device
FEW = ("--length", 4, "--steps", 4, "--query-steps", 4, "--second-steps", 4, "--polish-steps", 2)


@pytest.fixture
def library(run: Run, tmp_path: Path, stack: Stack) -> str:
    """A prompt of a neighbour's, which everybody may see."""
    path = write_rows(tmp_path / "other.jsonl", examples(30)[::-1])
    arguments = ("train", path, "--name", "known", "--steps", 6, "--length", 4, "--wait", "--json")
    made = run(*arguments)
    assert made.code == 0, made.err
    return str(made.json["prompt"]["id"])


def test_few_rows_are_lifted_and_the_job_tells_how(run: Run, library: str, data: Path) -> None:
    made = run("augment", "--data", data, "--name", "lifted", *FEW, "--wait", "--json")
    assert made.code == 0, made.err
    job, prompt = made.json["job"], made.json["prompt"]
    assert (job["kind"], job["state"], prompt["name"]) == ("augment", "succeeded", "lifted")
    assert f"step {job['step']}/{job['step']}" in made.err
    assert job["metrics"]["steps"] == job["step"]
    if prompt["hyperparameters"]["candidate"] != "query":
        assert library in {parent["prompt"] for parent in prompt["parents"]}
    shown = run("jobs", "show", job["id"])
    assert shown.code == 0, shown.err
    for word in ("auto, 3 neighbours by cosine", "curriculum", "validation loss", "trained, 4"):
        assert word in shown.out
    assert run("jobs", "watch", job["id"]).code == 0

    again = run("augment", "lifted", "--name", "twice", "--strategy", "curriculum", *FEW[2:])
    assert again.code == 0, again.err
    spec = run("jobs", "show", again.out.strip(), "--json").json["spec"]
    assert (spec["query"], spec["length"], spec["model"]) == (prompt["id"], 4, MODEL)
    assert spec["dataset"] == prompt["dataset"]
