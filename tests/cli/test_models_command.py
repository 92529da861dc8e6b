"""`ptsys models`: importing without a vocabulary, replacing, deleting, and what is told of each."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from commands import CONFIG, Ended, Run, call, examples, write_rows

from ptsys.jobs.presence import Presence, announce
from ptsys.jobs.redis_server import EmbeddedRedis
from ptsys.models.t5.hugging_face import export_hugging_face
from ptsys.models.t5.network import create
from ptsys.prompts.formats import write_prompt
from ptsys.store.clock import utc_now

PROMPT = np.random.default_rng(0).normal(size=(4, CONFIG.d_model)).astype(np.float32)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder without its vocabulary."""
    folder = tmp_path_factory.mktemp("bare") / "hf"
    export_hugging_face(create(CONFIG, seed=3), folder)
    return folder


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same shape with other weights."""
    folder = tmp_path_factory.mktemp("other") / "hf"
    export_hugging_face(create(CONFIG, seed=4), folder)
    return folder


@pytest.fixture
def mine(tmp_path: Path, bare: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Commands on a data directory with a model `mine` that has no vocabulary."""
    for name in [name for name in os.environ if name.startswith("PTSYS_")]:
        monkeypatch.delenv(name)

    def run(*arguments: object) -> Ended:
        return call("--data", tmp_path / "data", *arguments)

    ended = run("models", "import", bare, "--name", "mine")
    assert ended.code == 0, ended.err
    return run


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    """A PEFT folder."""
    write_prompt(PROMPT, tmp_path / "adapter", "peft")
    return tmp_path / "adapter"


def refused(ended: Ended, *words: str) -> None:
    assert ended.code in (1, 2), ended.out
    lines = [line for line in ended.err.splitlines() if not line.endswith("…")]  # what was slow
    assert len(lines) == 1, ended.err
    for word in words:
        assert word in lines[0], ended.err


def test_an_import_without_vocabulary_says_what_it_cannot_do_and_what_to_do_next(
    tmp_path: Path, bare: Path
) -> None:
    data = tmp_path / "data"
    ended = call("--data", data, "models", "import", bare, "--name", "mine")
    assert ended.code == 0
    assert "ptsys up" not in ended.err
    assert "can neither train nor answer" in ended.err
    assert f"`ptsys --data {data} models replace mine {bare} --vocabulary FILE`" in ended.err
    assert "missing" in call("--data", data, "models", "list").out


COMMANDS: dict[str, Callable[[Path], list[object]]] = {
    "up": lambda rows: ["up", "--model", "mine"],
    "worker": lambda rows: ["worker", "--model", "mine"],
    "train": lambda rows: ["train", rows, "--name", "n", "--model", "mine"],
    "multitask": lambda rows: [
        *("multitask", "--name", "n", "--task", f"a={rows}", "--model", "mine")
    ],
    "augment": lambda rows: ["augment", "--data", rows, "--name", "n", "--model", "mine"],
    "predict": lambda rows: ["predict", "-", rows, "--model", "mine"],
    "predict with a stored prompt": lambda rows: ["predict", "kept", rows],
    "evaluate": lambda rows: ["evaluate", "kept", rows],
    "gradients": lambda rows: ["gradients", "kept", rows, "--output", rows.with_name("g")],
    "generate": lambda rows: ["prompts", "generate", "kept", rows, "--dataset", "d"],
    "search": lambda rows: ["prompts", "search", "--data", rows, "--model", "mine"],
    "run": lambda rows: [
        *("run", "--gin_file=gin/runs/evaluate.gin", "--gin.MODEL='mine'"),
        f"--gin.TASKS={str(rows.parent)!r}",
    ],
}


def test_every_later_command_says_so_in_one_line(mine: Run, adapter: Path, tmp_path: Path) -> None:
    assert mine("prompts", "import", adapter, "--name", "kept", "--model", "mine").code == 0
    (tmp_path / "task").mkdir()
    rows = write_rows(tmp_path / "task" / "train.jsonl", examples(4))
    for name, arguments in COMMANDS.items():
        ended = mine(*arguments(rows))
        assert "Traceback" not in ended.err, name
        refused(ended, "'mine'", "without its vocabulary", "ptsys models replace mine")


def test_a_peft_prompt_needs_no_vocabulary(mine: Run, adapter: Path, tmp_path: Path) -> None:
    kept = mine("prompts", "import", adapter, "--name", "kept", "--model", "mine")
    assert kept.code == 0, kept.err
    assert "ptsys predict" not in kept.err  # that would not work yet
    assert "no vocabulary yet" in kept.err
    out = tmp_path / "out.npy"
    assert mine("prompts", "export", "kept", out).code == 0
    assert np.array_equal(np.load(out), PROMPT)


def test_a_vocabulary_is_brought_later(
    mine: Run, adapter: Path, bare: Path, model_folder: Path, tmp_path: Path
) -> None:
    """The weights stay the same, so the prompts do not mind."""
    assert mine("prompts", "import", adapter, "--name", "kept", "--model", "mine").code == 0
    spiece = model_folder / "vocabulary.model"
    ended = mine("models", "replace", "mine", bare, "--vocabulary", spiece)
    assert ended.code == 0, ended.err
    assert f"next: `ptsys up --model mine --data {tmp_path / 'data'}`" in ended.err
    rows = write_rows(tmp_path / "rows.jsonl", examples(4))
    queued = mine("train", rows, "--name", "n", "--model", "mine")
    assert queued.code == 0, queued.err
    again = mine("models", "replace", "mine", bare)  # and stays when the same weights come again
    assert again.code == 0, again.err
    assert "ptsys up --model mine" in again.err


def test_other_weights_are_refused_while_prompts_belong_to_the_present_ones(
    mine: Run, adapter: Path, bare: Path, other: Path
) -> None:
    before = mine("models", "list", "--json").json
    kept = mine("prompts", "import", adapter, "--name", "kept", "--model", "mine", "--json").json
    assert isinstance(kept, dict)
    ended = mine("models", "replace", "mine", other)
    refused(ended, "1 prompt belongs", kept["model_fingerprint"], "--keep-prompts")
    refused(mine("models", "delete", "mine"), "1 prompt belongs", "--keep-prompts")
    assert mine("models", "list", "--json").json == before
    replaced = mine("models", "replace", "mine", other, "--keep-prompts", "--json").json
    assert isinstance(replaced, dict)
    assert replaced["fingerprint"] != kept["model_fingerprint"]
    assert mine("prompts", "delete", "kept").code == 0
    assert (
        mine("models", "replace", "mine", bare, "--json").json["fingerprint"]
        == (  # type: ignore[index]
            kept["model_fingerprint"]
        )
    )


def test_a_deleted_model_is_gone_and_its_name_free(mine: Run, bare: Path, tmp_path: Path) -> None:
    ended = mine("models", "delete", "mine")
    assert (ended.code, ended.err) == (0, "model mine is deleted\n")
    assert [model["name"] for model in mine("models", "list", "--json").json] == ["tiny"]  # type: ignore[attr-defined]
    assert not any("mine" in path.name for path in (tmp_path / "data" / "models").iterdir())
    refused(mine("models", "delete", "mine"), "no model 'mine'")
    refused(mine("up", "--model", "mine"), "no model 'mine'", "tiny")
    assert mine("models", "import", bare, "--name", "mine").code == 0


def test_what_is_built_in_or_not_there_is_refused(mine: Run, bare: Path) -> None:
    refused(mine("models", "delete", "tiny"), "'tiny' is built in")
    refused(mine("models", "replace", "tiny", bare), "'tiny' is built in")
    refused(mine("models", "delete", "nope"), "no model 'nope'")
    refused(mine("models", "replace", "nope", bare), "no model 'nope'")
    refused(mine("models", "replace", "mine", bare.parent), "neither a Hugging Face folder")
    refused(mine("models", "delete", "a/b"), "'a/b'")


def test_a_served_model_is_refused(mine: Run, bare: Path, tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "data") as redis:
        of = {"host": "here", "pid": 4242, "since": utc_now()}
        announce(redis.address, Presence(worker="w1", model="mine", **of))
        for arguments in (("delete", "mine"), ("replace", "mine", bare)):
            refused(mine("models", *arguments), "'mine'", "4242 on here", "stop it first")


def test_a_model_whose_jobs_wait_is_refused(
    mine: Run, bare: Path, model_folder: Path, tmp_path: Path
) -> None:
    mine("models", "replace", "mine", bare, "--vocabulary", model_folder / "vocabulary.model")
    rows = write_rows(tmp_path / "rows.jsonl", examples(4))
    job = mine("train", rows, "--name", "n", "--model", "mine", "--json").json
    refused(mine("models", "delete", "mine"), "1 job of it has not ended", "jobs cancel")
    assert mine("jobs", "cancel", job["id"]).code == 0  # type: ignore[index]
    assert mine("models", "delete", "mine").code == 0


def test_a_damaged_model_can_be_replaced(mine: Run, bare: Path, tmp_path: Path) -> None:
    (tmp_path / "data/models/mine/config.json").write_text('{"format": "ptsys-model-1"}')
    refused(mine("up", "--model", "mine"), "'mine' are damaged", "ptsys models replace mine")
    ended = mine("models", "replace", "mine", bare)
    assert ended.code == 0, ended.err
