"""What is typed wrong ends with exit code 2 and one line that says what, where and how to mend."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from commands import MODEL, Run, command, examples, write_rows

from ptsys.types.example import Example

Arguments = list[object]
BARE = '{"input": "a", "target": "b"}\n{"input": "a"}\n'
GOOD = '{"input": "a", "target": "b"}\n'


def train(path: object, *more: object) -> Arguments:
    return ["train", path, "--name", "n", *more]


def multitask(*tasks: object, more: Arguments | tuple[object, ...] = ()) -> Arguments:
    given = [word for task in tasks for word in ("--task", task)]
    return ["multitask", "--name", "n", *given, *more]


def augment(*arguments: object) -> Arguments:
    return ["augment", *arguments, "--name", "n"]


def file(folder: Path, text: str) -> Path:
    path = folder / "rows.jsonl"
    path.write_text(text)
    return path


def tensor(folder: Path, array: np.ndarray) -> Path:
    path = folder / "prompt.npy"
    np.save(path, array)
    return path


def importing(folder: Path, array: np.ndarray, *more: object) -> Arguments:
    return ["prompts", "import", tensor(folder, array), "--name", "n", *more]


ROW = np.zeros((2, 32), np.float32)
NAN = np.full((2, 32), np.nan, np.float32)
CASES: dict[str, tuple[Callable[[Path], Arguments], list[str]]] = {
    "missing file": (lambda f: train(f / "no.jsonl"), ["dataset", "no.jsonl", "check the path"]),
    "missing validation": (
        lambda f: train(file(f, GOOD), "--validation", f / "no.jsonl"),
        ["validation", "no.jsonl"],
    ),
    "malformed line": (
        lambda f: train(file(f, GOOD + GOOD + "{oops\n")),
        ["rows.jsonl", "line 3", "write one"],
    ),
    "missing target of a scored row": (
        lambda f: train(write_rows(f / "g.jsonl", examples(2)), "--validation", file(f, BARE)),
        ["target", "rows.jsonl", "line 2"],
    ),
    "missing target of a row too short to cut": (
        lambda f: train(file(f, GOOD + '{"input": ""}\n')),
        ["target", "rows.jsonl", "row 2", "too short", "0 tokens"],
    ),
    "task without a file": (lambda f: multitask("a"), ["task", "'a'", "TASK=FILE.jsonl"]),
    "task twice": (lambda f: multitask("a=x", "a=y"), ["task", "'a'", "twice"]),
    "task's file": (lambda f: multitask(f"a={f}/no.jsonl"), ["dataset", "no.jsonl", "check"]),
    "task's name": (lambda f: multitask(f"a/b={file(f, GOOD)}"), ["tasks.0.name", "a/b"]),
    "validation of no task": (
        lambda f: multitask(f"a={file(f, GOOD)}", more=("--validation", "b=x")),
        ["validation", "'b'", "there are a"],
    ),
    "rate no number": (
        lambda f: multitask(f"a={file(f, GOOD)}", more=("--rate", "a=often")),
        ["rate", "often", "number"],
    ),
    "rate of some tasks alone": (
        lambda f: multitask(f"a={file(f, GOOD)}", "b=x", more=("--rate", "a=2")),
        ["tasks.1.rate", "rates"],
    ),
    "added prompts of two lengths": (
        lambda f: multitask("a=x", more=("--combination", "add", "--task-length", 3)),
        ["task_length", "one length, here 16"],
    ),
    "general prompt of no task": (
        lambda f: ["predict", "-", file(f, GOOD), "--general", "g"],
        ["general", "task-specific"],
    ),
    "unknown key": (lambda f: train(file(f, '{"inptu": "a"}\n')), ["inptu", "line 1"]),
    "empty dataset": (lambda f: train(file(f, "\n\n")), ["dataset", "rows.jsonl", "no rows"]),
    "target too long": (
        lambda f: train(write_rows(f / "l.jsonl", [Example("a", "word " * 60)])),
        ["target", "l.jsonl", "row 1", "at most 32", "shorten"],
    ),
    "unknown model": (
        lambda f: train(file(f, GOOD), "--model", "nope"),
        ["model", "nope", MODEL, "models import"],
    ),
    "name no name": (lambda f: ["train", file(f, GOOD), "--name", "a/b"], ["name", "a/b"]),
    "name with a space": (
        lambda f: ["train", file(f, GOOD), "--name", "my prompt"],
        ["name: 'my prompt'", "letters, digits", "'my-prompt'"],
    ),
    "name of nothing but marks": (
        lambda f: ["prompts", "import", tensor(f, ROW), "--name", "!"],
        ["name: '!'", "letters, digits"],
    ),
    "user with a space": (
        lambda f: ["--user", "ann b", "jobs", "list"],
        ["user: 'ann b'", "letters, digits"],
    ),
    "user of a key": (lambda f: ["keys", "create", "ann/b"], ["user: 'ann/b'", "letters, digits"]),
    "steps": (lambda f: train(file(f, GOOD), "--steps", 0), ["steps", "greater than"]),
    "steps no number": (lambda f: train(file(f, GOOD), "--steps", "x"), ["--steps", "integer"]),
    "learning rate": (lambda f: train(file(f, GOOD), "--lr", -1), ["learning_rate", "-1"]),
    "optimizer": (
        lambda f: train(file(f, GOOD), "--optimizer", "lion"),
        ["optimizer", "adafactor"],
    ),
    "start": (lambda f: train(file(f, GOOD), "--init", "magic"), ["init", "magic", "shared"]),
    "start without text": (lambda f: train(file(f, GOOD), "--init", "text:"), ["init", "text"]),
    "start from no prompt": (
        lambda f: train(file(f, GOOD), "--init", "prompt:nope"),
        ["nope", "prompts list"],
    ),
    "no name": (lambda f: ["train", file(f, GOOD)], ["--name"]),
    "NaN in an imported prompt": (
        lambda f: importing(f, NAN),
        ["prompt", "prompt.npy", "row 0, column 0", "nan"],
    ),
    "wrong width": (
        lambda f: importing(f, np.zeros((2, 768), np.float32)),
        ["prompt", "width 768", f"'{MODEL}' has 32"],
    ),
    "no floats": (lambda f: importing(f, np.zeros((2, 32), int)), ["prompt", "float32"]),
    "no prompt file": (
        lambda f: ["prompts", "import", f / "no.npy", "--name", "n"],
        ["no.npy", "check the path"],
    ),
    "prompt of no model": (lambda f: importing(f, ROW, "--model", "nope"), ["model", "nope"]),
    "prompt unknown": (
        lambda f: ["predict", "nope", file(f, GOOD)],
        ["nope", "prompts list"],
    ),
    "prompt file of wrong width": (
        lambda f: ["predict", tensor(f, np.zeros((2, 8), np.float32)), file(f, GOOD)],
        ["width 8"],
    ),
    "output nowhere": (
        lambda f: ["predict", "-", file(f, GOOD), "--output", f / "no" / "answers.jsonl"],
        ["output: ", "answers.jsonl cannot be written", "there is no folder"],
    ),
    "output is a folder": (
        lambda f: ["predict", "-", file(f, GOOD), "--output", f],
        ["output: ", "it is a folder"],
    ),
    "labels that are none": (
        lambda f: ["predict", "-", file(f, GOOD), "--labels", ","],
        ["labels: ','", "good,bad"],
    ),
    "no state": (
        lambda f: ["jobs", "list", "--state", "going"],
        ["'--state': 'going' is not one of 'queued'"],
    ),
    "no count": (lambda f: ["jobs", "list", "--limit", 0], ["'--limit': it should be greater"]),
    "inputs malformed": (lambda f: ["predict", "-", file(f, "[]\n")], ["rows.jsonl", "line 1"]),
    "decoding": (
        lambda f: ["predict", "-", file(f, GOOD), "--temperature", 0],
        ["temperature", "greater than"],
    ),
    "gradients of nothing": (
        lambda f: ["gradients", "-", file(f, GOOD), "--output", f / "g"],
        ["prompt", "bare model"],
    ),
    "job unknown": (lambda f: ["jobs", "show", "nope"], ["nope", "jobs list"]),
    "job to cancel unknown": (lambda f: ["jobs", "cancel", "nope"], ["nope"]),
    "prompt to export": (lambda f: ["prompts", "export", "nope", f / "a.npy"], ["nope"]),
    "format": (lambda f: ["prompts", "export", "nope", f / "a.bin"], ["format", "--format"]),
    "prompt to delete": (lambda f: ["prompts", "delete", "nope"], ["nope"]),
    "model to import": (
        lambda f: ["models", "import", f, "--name", "n"],
        ["source", "Hugging Face"],
    ),
    "model name taken": (
        lambda f: ["models", "import", f, "--name", MODEL],
        [MODEL, "another name"],
    ),
    "model to serve": (lambda f: ["up", "--model", "nope"], ["model", "nope"]),
    "gin file": (lambda f: ["run", "--gin_file=no.gin"], ["gin_file", "no.gin"]),
    "no gin file": (lambda f: ["run"], ["gin_file"]),
    "users": (lambda f: ["bench", "residents", "--users", "a"], ["users", "1,4,16"]),
    "option": (lambda f: ["train", "--nope"], ["--nope"]),
    "command": (lambda f: ["augmented"], ["augmented"]),
    "augment nothing": (lambda f: augment(), ["data", "--data FEW.jsonl", "PROMPT"]),
    "augment no prompt": (lambda f: augment("nope"), ["nope", "prompts list"]),
    "augment no file": (lambda f: augment("--data", f / "no.jsonl"), ["dataset", "no.jsonl"]),
    "augment too few rows": (
        lambda f: augment("--data", file(f, GOOD * 7)),
        ["validation", "4 at least", "there are 7", "give 8"],
    ),
    "augment budget": (
        lambda f: augment("--data", file(f, GOOD), "--budget", 5),
        ["budget", "at least", "query_steps"],
    ),
    "augment strategy": (
        lambda f: augment("--data", file(f, GOOD), "--strategy", "luck"),
        ["strategy", "curriculum"],
    ),
    "augment neighbours": (
        lambda f: augment("--data", file(f, GOOD), "--neighbours", 0),
        ["neighbours", "greater than"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_one_line_says_what_is_wrong(case: str, run: Run, tmp_path: Path) -> None:
    arguments, wanted = CASES[case]
    ended = run(*arguments(tmp_path))
    assert ended.code == 2, ended
    assert ended.out == ""
    assert ended.err.count("\n") == 1, ended.err
    assert ended.err.startswith("error: ")
    for word in wanted:
        assert word in ended.err


def test_a_taken_name_is_told_before_anything_is_stored(run: Run, data: Path) -> None:
    first = run("train", data, "--name", "taken", "--json")
    assert first.code == 0
    other = write_rows(data.with_name("other.jsonl"), examples(3))
    second = run("train", other, "--name", "taken")
    assert second.code == 2
    assert "taken" in second.err
    assert second.err.count("\n") == 1
    assert first.json["id"] in second.err
    assert run("jobs", "cancel", first.json["id"]).code == 0


def test_what_is_refused_stores_no_rows(run: Run, data: Path, root: Path) -> None:
    """A taken name, a start that is not there, another model's query: known before."""
    first = run("train", data, "--name", "held", "--json")
    assert first.code == 0, first.err
    before = sorted((root / "datasets").iterdir())
    other = write_rows(data.with_name("unstored.jsonl"), examples(5))
    for refused in (
        run("train", other, "--name", "held"),
        run("train", other, "--name", "n", "--init", "prompt:nope"),
        run("multitask", "--name", "held", "--task", f"a={other}"),
        run("augment", "--data", other, "--name", "held"),
    ):
        assert refused.code == 2
        assert sorted((root / "datasets").iterdir()) == before
    assert run("jobs", "cancel", first.json["id"]).code == 0


def test_without_a_service_a_command_says_how_to_start_it(run: Run, data: Path) -> None:
    ended = run("predict", "-", data)
    assert ended.code == 1
    assert ended.err.count("\n") == 1
    assert "ptsys up" in ended.err


def test_a_process_ends_with_the_same_code_and_line(root: Path, tmp_path: Path) -> None:
    import subprocess

    arguments = command("--data", root, *train(tmp_path / "no.jsonl", "--model", MODEL))
    ended = subprocess.run(arguments, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1


def test_settings_in_the_environment_are_checked(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PTSYS_MAX_ROWS", "many")
    ended = run("jobs", "list")
    assert ended.code == 2
    assert ended.err.count("\n") == 1
    assert "max_rows" in ended.err.lower()


def test_a_queued_job_without_a_worker_says_so(run: Run, data: Path) -> None:
    ended = run("train", data, "--name", "waits")
    assert ended.code == 0
    assert f"ptsys up --model {MODEL}" in ended.err
    job = ended.out.strip()
    shown = run("jobs", "show", job, "--json").json
    assert (shown["state"], shown["spec"]["name"]) == ("queued", "waits")
    assert run("jobs", "cancel", job, "--json").json["state"] == "cancelled"
    assert run("jobs", "list", "--json").json[0]["id"] == job
    assert run("jobs", "watch", job).code == 1  # cancelled, so there is no prompt


def test_the_same_file_is_stored_once(run: Run, data: Path, root: Path) -> None:
    before = len(list((root / "datasets").glob("*.jsonl")))
    jobs = [run("train", data, "--name", f"once-{n}", "--json").json for n in range(2)]
    assert jobs[0]["spec"]["dataset"] == jobs[1]["spec"]["dataset"]
    assert len(list((root / "datasets").glob("*.jsonl"))) <= before + 1
    for job in jobs:
        run("jobs", "cancel", job["id"])
