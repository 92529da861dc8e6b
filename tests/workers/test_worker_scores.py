"""A prompt's score is one number, by whatever door it is asked for."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import pytest
import tiny_model
from worker_deployment import Deployment

from ptsys.cli import main, output
from ptsys.client import Client
from ptsys.data.metrics import summarize
from ptsys.types.example import Example
from ptsys.types.records import Prompt
from ptsys.types.training import Optimizer

pytestmark = pytest.mark.device
MODEL = tiny_model.NAME
SHORT = [Example(row.input, "red") for row in tiny_model.rows(24)]
MIDDLING = [Example(row.input, "red blue red") for row in SHORT]
LONG = [
    Example(row.input, "red blue red" if n % 3 else "red blue dark green")
    for n, row in enumerate(tiny_model.rows(24, seed=9))
]


@pytest.fixture(scope="module")
def rambling(served: Deployment) -> Prompt:
    """A prompt that has learned longer answers, to begin with."""
    for name, rows in (("long", LONG), ("middling", MIDDLING), ("short", SHORT)):
        served.add_rows(name, rows)
    job = served.submit("rambling", dataset="middling", steps=150)
    return served.service.prompts.get(served.wait(job).prompt or "", "ann")


def own(prompt: Prompt, start: str = "") -> dict[str, float]:
    """The scores that a prompt was recorded with, of its validation or (`test_`) test rows."""
    return {name: prompt.scores[f"{start}{name}"] for name in ("accuracy", "token_f1")}


def command(root: Path, *arguments: object) -> Any:
    """What a command prints as JSON."""
    out, err = io.StringIO(), io.StringIO()
    for console in (output.messages, output.results):
        console.cache_clear()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main.call(["--data", str(root), "--user", "ann", *map(str, arguments)])
    assert code == 0, err.getvalue()
    return json.loads(out.getvalue())


def write(path: Path, rows: list[Example]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(row.to_json() + "\n" for row in rows))
    return path


def evaluated(root: Path, prompt: str, rows: Path) -> dict[str, float]:
    found = command(root, "evaluate", prompt, rows, "--json")
    return {name: found[name] for name in ("accuracy", "token_f1")}


def test_a_jobs_own_score_is_that_of_every_evaluation(
    served: Deployment, ann: Client, rambling: Prompt, tmp_path: Path
) -> None:
    """Trained on targets of 2 tokens, scored on rows with more."""
    start = {"kind": "prompt", "prompt": rambling.id}
    job = served.submit(
        "scored", dataset="short", validation="long", initialization=start, steps=1,
        optimizer=Optimizer(learning_rate=1e-3),
    )  # fmt: skip
    made = served.service.prompts.get(served.wait(job).prompt or "", "ann")
    wanted = own(made)
    assert wanted["token_f1"] > 0.1
    rows = write(tmp_path / "long.jsonl", LONG)
    assert evaluated(served.root, "scored", rows) == pytest.approx(wanted)
    assert ann.evaluate("scored", LONG, model=MODEL) == pytest.approx(wanted)
    assert ann.evaluate(made, "long") == pytest.approx(wanted)
    assert by_hand(ann, made) == pytest.approx(wanted)

    tasks = write(tmp_path / "tasks" / "scored" / "validation.jsonl", LONG).parent
    write(tasks / "train.jsonl", SHORT)
    flags = {"MODEL": MODEL, "TASKS": str(tasks), "PROMPT": "scored", "OUTPUT": str(tmp_path / "o")}
    bound = [f"--gin.{name}={value!r}" for name, value in flags.items()]
    told = command(served.root, "run", "--gin_file=gin/runs/evaluate.gin", *bound, "--json")
    [line] = told["scores"]
    assert line["scores"]["accuracy"] == pytest.approx(wanted["accuracy"], abs=1e-4)


def by_hand(ann: Client, prompt: Prompt) -> dict[str, float]:
    """As `/v1/tokens` says."""
    targets = [row.target or "" for row in LONG]
    ask = ann._connection.ask
    told = ask("POST", "/v1/tokens", json={"model": MODEL, "texts": targets}).json()
    assert 4 < max(told["tokens"]) <= 8 == told["max_target_length"]
    body = {"model": MODEL, "prompt": prompt.id, "inputs": [row.input for row in LONG]}
    answer = ask("POST", "/v1/predict", json={**body, "decoding": {"max_tokens": 8}}).json()
    return summarize([row["prediction"] for row in answer["predictions"]], targets)


def test_what_a_run_records(served: Deployment, tmp_path: Path) -> None:
    """Both parts have longer answers than the rows that it trains on."""
    folder = tmp_path / "tuned"
    rows = write(folder / "validation.jsonl", LONG)
    tests = write(folder / "test.jsonl", LONG[::-2])
    write(folder / "train.jsonl", MIDDLING)
    flags = {
        "TASKS": str(folder), "MODEL": MODEL, "STEPS": 100, "LENGTH": 8, "BATCH_SIZE": 16,
        "MAX_INPUT_LENGTH": 64, "INIT": "shared", "OUTPUT": str(tmp_path / "out"),
        "LEARNING_RATE": 0.3, "EVALUATE_EVERY": 200, "CHECKPOINT_EVERY": 200,
    }  # fmt: skip
    bound = [f"--gin.{name}={value!r}" for name, value in flags.items()]
    command(served.root, "run", "--gin_file=gin/runs/prompt_tune.gin", *bound, "--json")
    made = served.service.prompts.get("tuned", "ann")
    assert own(made)["token_f1"] > 0.1
    assert evaluated(served.root, "tuned", rows) == pytest.approx(own(made))
    assert evaluated(served.root, "tuned", tests) == pytest.approx(own(made, "test_"))
