"""From rows to a prompt and back out, through a real stack."""

import json
import threading
from pathlib import Path

import numpy as np
import pytest
from commands import MODEL, Ended, Run, call, examples, write_rows
from safetensors import safe_open

from ptsys.data.metrics import exact_match
from ptsys.prompts.formats import read_prompt
from ptsys.stack.stack import Stack

pytestmark = pytest.mark.device
LENGTH, WIDTH = 4, 32


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("rows") / "doors.jsonl", examples(70))


@pytest.fixture(scope="module", autouse=True)
def trained(stack: Stack, root: Path, rows: Path) -> dict:
    """The prompt `doors`, trained once; what `train --wait --json` printed."""
    ended = call(
        *("--data", root, "train", rows, "--name", "doors", "--validation", rows, "--wait"),
        *("--steps", 12, "--length", LENGTH, "--evaluate-every", 6, "--model", MODEL, "--json"),
    )
    assert ended.code == 0, ended.err
    assert "step 12/12" in ended.err
    assert "loss" in ended.err
    return ended.json


def test_training_gives_a_prompt_with_scores(trained: dict, run: Run) -> None:
    assert trained["job"]["state"] == "succeeded"
    shown = run("prompts", "show", "doors", "--json").json
    assert shown.pop("difficulty")["rows"] == 70
    assert shown == trained["prompt"]
    assert (shown["length"], shown["d_model"], shown["steps"]) == (LENGTH, WIDTH, 12)
    assert {"accuracy", "token_f1"} <= set(shown["scores"])
    assert shown["hyperparameters"]["optimizer"]["learning_rate"] == 0.3
    assert "doors" in run("prompts", "list").out
    assert trained["prompt"]["id"] in run("prompts", "show", "doors").out


def test_a_watched_job_tells_its_events(trained: dict, run: Run) -> None:
    job = trained["job"]["id"]
    ended = run("jobs", "watch", job, "--json")
    events = [json.loads(line) for line in ended.out.splitlines()]
    assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["data"]["state"] == "succeeded"
    assert "evaluation" in {event["kind"] for event in events}
    assert run("jobs", "watch", job).code == 0
    assert run("jobs", "show", job).code == 0


def test_predictions_come_in_order_and_are_the_same_in_a_file(
    run: Run, rows: Path, tmp_path: Path
) -> None:
    ended = run("predict", "doors", rows, "--labels", "red, green,blue,black")
    answers = [json.loads(line) for line in ended.out.splitlines()]
    assert len(answers) == 70
    assert all(set(a["label_scores"]) == {"red", "green", "blue", "black"} for a in answers)
    assert all(a["score"] == max(a["label_scores"].values()) for a in answers)
    output = tmp_path / "answers.jsonl"
    saved = run(
        *("predict", "doors", rows, "--labels", "red,green,blue,black"),
        *("--output", output, "--json"),
    )
    assert saved.json == {"rows": 70, "output": str(output)}
    again = [json.loads(line) for line in output.read_text().splitlines()]
    assert [a["prediction"] for a in again] == [a["prediction"] for a in answers]
    score = run("evaluate", "doors", rows, "--labels", "red,green,blue,black", "--json").json
    predictions = [a["prediction"] for a in answers]
    targets = [row.target for row in examples(70)]
    assert score["accuracy"] == exact_match(predictions, targets)
    assert score["majority"] == {"answer": "red", "accuracy": 18 / 70}


@pytest.mark.parametrize("method", ["greedy", "sample", "beam"])
def test_every_method_answers(run: Run, tmp_path: Path, method: str) -> None:
    inputs = tmp_path / "inputs.jsonl"
    inputs.write_text('{"input": "the red door"}\n')
    ended = run("predict", "doors", inputs, "--method", method, "--max-tokens", 8, "--beams", 2)
    [line] = ended.out.splitlines()
    assert set(json.loads(line)) == {"prediction", "score"}


def test_an_output_that_cannot_be_written_leaves_nothing(
    run: Run, rows: Path, tmp_path: Path
) -> None:
    ended = run("predict", "doors", rows, "--output", tmp_path / "no" / "answers.jsonl")
    assert ended.code == 2
    assert ended.err.startswith("error: output: ")
    assert list(tmp_path.iterdir()) == []


def test_the_bare_model_can_be_asked(run: Run, rows: Path) -> None:
    ended = run("evaluate", "-", rows, "--json")
    assert ended.code == 0, ended.err
    assert set(ended.json) == {"rows", "accuracy", "token_f1", "majority"}


def test_gradients_of_batches_are_those_of_all_rows(
    run: Run, rows: Path, tmp_path: Path, trained: dict
) -> None:
    whole, half = tmp_path / "whole.safetensors", tmp_path / "half.safetensors"
    told = run("gradients", "doors", rows, "--output", whole, "--json").json
    gradient = _gradient(whole)
    assert gradient.shape == (LENGTH, WIDTH)
    assert np.isclose(told["norm"], np.linalg.norm(gradient))
    assert told["rows"] == 70
    # 70 rows travel as 64 and 6: by hand, with their tokens as weights
    parts = []
    for n, part in enumerate((examples(70)[:64], examples(70)[64:])):
        path = write_rows(tmp_path / f"{n}.jsonl", part)
        told_part = run("gradients", "doors", path, "--output", half, "--json").json
        parts.append((told_part["tokens"], told_part["loss"], _gradient(half)))
    tokens = sum(t for t, _, _ in parts)
    assert told["tokens"] == tokens
    assert np.isclose(told["loss"], sum(t * loss for t, loss, _ in parts) / tokens)
    by_hand = sum(t * g for t, _, g in parts) / tokens
    np.testing.assert_allclose(gradient, by_hand, rtol=1e-4, atol=1e-6)


def _gradient(path: Path) -> np.ndarray:
    with safe_open(path, "np") as file:
        assert float(file.metadata()["loss"]) > 0
        return file.get_tensor("gradient")


@pytest.mark.parametrize("kind", ["npy", "safetensors", "peft", "orbax"])
def test_a_prompt_goes_out_and_comes_back(run: Run, rows: Path, tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"out.{kind}"
    assert run("prompts", "export", "doors", path, "--format", kind, "--json").code == 0
    back = run("prompts", "import", path, "--name", f"back-{kind}", "--json")
    assert back.code == 0, back.err
    assert back.json["length"] == LENGTH
    again = tmp_path / "again.npy"
    run("prompts", "export", f"back-{kind}", again)
    first = tmp_path / "first.npy"
    run("prompts", "export", "doors", first)
    np.testing.assert_array_equal(np.load(first), np.load(again))
    asked = ["doors", f"back-{kind}"]
    if kind != "orbax":
        asked.append(str(path))
        np.testing.assert_array_equal(read_prompt(path), np.load(first))
    answers = [_answers(run("predict", one, rows)) for one in asked]
    for other in answers[1:]:
        assert [text for text, _ in other] == [text for text, _ in answers[0]]
        # shapes differ by what waits at the moment, so the last bits may
        np.testing.assert_allclose([s for _, s in other], [s for _, s in answers[0]], rtol=1e-5)
    assert run("prompts", "delete", f"back-{kind}").code == 0
    assert run("prompts", "show", f"back-{kind}").code == 2


def _answers(ended: Ended) -> list[tuple[str, float]]:
    lines = [json.loads(line) for line in ended.out.splitlines()]
    return [(line["prediction"], line["score"]) for line in lines]


def test_an_import_under_a_taken_name_leaves_nothing(run: Run, root: Path, tmp_path: Path) -> None:
    before = sorted((root / "prompts").iterdir())
    run("prompts", "export", "doors", tmp_path / "p.npy")
    ended = run("prompts", "import", tmp_path / "p.npy", "--name", "doors")
    assert ended.code == 2
    assert sorted((root / "prompts").iterdir()) == before


def test_a_prompt_is_where_another_starts(run: Run, rows: Path) -> None:
    ended = run(
        *("train", rows, "--name", "again", "--init", "prompt:doors", "--steps", 2),
        *("--length", LENGTH, "--optimizer", "sgd", "--wait"),
    )
    assert ended.code == 0, ended.err
    assert "again" in ended.out
    shown = run("prompts", "show", "again", "--json").json
    assert shown["initialization"]["kind"] == "prompt"
    assert shown["hyperparameters"]["optimizer"]["kind"] == "sgd"


def test_tasks_are_tuned_together_and_any_pair_answers(
    run: Run, rows: Path, tmp_path: Path
) -> None:
    bare = tmp_path / "bare.jsonl"
    bare.write_text("".join(f'{{"input": "{row.input}"}}\n' for row in examples(20)))
    for name, rate in (("first", 1), ("second", 3)):
        ended = run(
            *("multitask", "--name", name, "--task", f"doors={rows}", "--task", f"bare={bare}"),
            *("--rate", f"doors={rate}", "--rate", "bare=1", "--validation", f"doors={rows}"),
            *("--steps", 4, "--length", 3, "--task-length", 2, "--wait", "--json"),
        )
        assert ended.code == 0, ended.err
        assert "20 of 20 rows have no target" in ended.err
    told = ended.json
    assert [prompt["name"] for prompt in told["tasks"]] == ["second.doors", "second.bare"]
    assert (told["job"]["kind"], told["job"]["spec"]["mixing"]) == ("multitask", "rates")
    shown = run("jobs", "show", told["job"]["id"]).out
    assert "second.doors" in shown
    assert "concat" in run("prompts", "show", "second").out
    labels = ("--labels", "red,green,blue,black")
    own, other = (
        _answers(run("predict", "second.doors", rows, *labels, *more))
        for more in ((), ("--general", "first"))
    )
    assert [score for _, score in own] != [score for _, score in other]
    for name, more, length in (
        ("part", (), 2),
        ("own", ("--combined",), 5),
        ("other", ("--general", "first"), 5),
    ):
        path = tmp_path / f"{name}.npy"
        ended = run("prompts", "export", "second.doors", path, *more)
        assert ended.code == 0, ended.err
        assert np.load(path).shape == (length, WIDTH)
    exported = _answers(run("predict", tmp_path / "other.npy", rows, *labels))
    np.testing.assert_allclose([s for _, s in exported], [s for _, s in other], rtol=1e-4)
    assert run("evaluate", "second.doors", rows, "--general", "first", "--json").code == 0
    refused = run("predict", "second.doors", rows, "--general", "first.doors")
    assert (refused.code, "general" in refused.err) == (2, True)
    refused = run("prompts", "delete", "second")
    assert (refused.code, "second.doors" in refused.err) == (2, True)


def test_several_prompts_answer_as_one(run: Run, rows: Path) -> None:
    first = run("train", rows, "--name", "other-doors", "--steps", 2, "--length", LENGTH, "--wait")
    assert first.code == 0, first.err
    labels = ("--labels", "red,green,blue,black")
    alone = [_answers(run("predict", name, rows, *labels)) for name in ("doors", "other-doors")]
    several = ("--also", "other-doors", "--ensemble", "mean")
    together = run("predict", "doors", rows, *labels, *several)
    assert together.code == 0, together.err
    assert len(_answers(together)) == len(alone[0])
    assert run("evaluate", "doors", rows, "--also", "other-doors", "--json").code == 0
    refused = run("predict", "doors", rows, *several)  # nothing to take the mean of
    assert (refused.code, "labels" in refused.err) == (2, True)


def test_another_user_sees_nothing_of_it(run: Run, rows: Path) -> None:
    assert run("--user", "eve", "prompts", "list", "--json").json == []
    assert run("--user", "eve", "predict", "local/doors", rows).code == 2
    assert run("--user", "eve", "jobs", "list", "--json").json == []


def test_a_running_job_can_be_cancelled(run: Run, rows: Path) -> None:
    ended = run("train", rows, "--name", "long", "--steps", 100_000, "--length", LENGTH, "--json")
    job = ended.json["id"]
    cancel = threading.Timer(3.0, lambda: run("jobs", "cancel", job))
    cancel.start()
    watched = run("jobs", "watch", job, "--json")
    cancel.join()
    assert json.loads(watched.out.splitlines()[-1])["data"]["state"] == "cancelled"
    assert run("jobs", "list", "--state", "cancelled", "--json").json[0]["id"] == job
    assert run("jobs", "cancel", job).code == 0  # twice is no error
