"""`prompts ranking`, `prompts map` and `prompts generate`, and difficulty in `prompts show`."""

import json
from pathlib import Path

import numpy as np
import pytest
from commands import MODEL, Run, call, examples, write_rows

from ptsys.jobs.limits import read_limits
from ptsys.library.starts import write_start
from ptsys.stack.stack import Stack


@pytest.fixture(scope="module")
def prompts(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two of ann's, of which one is public, and one of bob's."""
    limits = read_limits(root, MODEL)
    start = np.random.default_rng(2).normal(size=(1024, limits.d_model)).astype(np.float32)
    write_start(root, limits.fingerprint, start)
    folder = tmp_path_factory.mktemp("tensors")
    for axis, (user, name) in enumerate((("ann", "open"), ("ann", "hidden"), ("bob", "mine"))):
        path = folder / f"{name}.npy"
        np.save(path, start[-3:] + np.eye(limits.d_model, dtype=np.float32)[axis])
        options = ("--name", name, "--model", MODEL)
        ended = call("--data", root, "--user", user, "prompts", "import", path, *options)
        assert ended.code == 0, ended.err
    public = ("prompts", "edit", "open", "--visibility", "public", "--tag", "nice")
    assert call("--data", root, "--user", "ann", *public).code == 0
    return root


@pytest.fixture
def bob(prompts: Path, run: Run) -> Run:
    return lambda *arguments: run("--user", "bob", "prompts", *arguments)


def test_a_ranking_by_prompt_and_by_submitter(bob: Run) -> None:
    told = bob("ranking", "--json").json
    assert sorted(one["prompt"]["name"] for one in told) == ["mine", "open"]
    assert {one["submitter"] for one in bob("ranking", "--by", "submitter", "--json").json} == {
        "ann",
        "bob",
    }
    assert "ann/open" in bob("ranking").out
    assert "hidden" not in bob("ranking").out
    assert "ann" in bob("ranking", "--by", "submitter", "--count", "5").out
    assert bob("ranking", "--model", "none").err.strip() == "there are no prompts that you may see"


def test_a_map_is_a_picture_a_page_or_coordinates(bob: Run, tmp_path: Path) -> None:
    for name in ("map.png", "map.html"):
        ended = bob("map", tmp_path / name, "--color-by", "owner")
        assert (ended.code, ended.out) == (0, ""), ended.err
        assert "2 prompts" in ended.err
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")
    text = (tmp_path / "map.html").read_text()
    assert "open\\u003c" in text  # as its hover text begins
    assert "hidden\\u003c" not in text
    told = bob("map", "--json").json
    assert sorted(one["name"] for one in told["points"]) == ["mine", "open"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["map.html", "map.png"]


def test_show_tells_the_difficulty_where_something_is_known(bob: Run) -> None:
    told = bob("show", "mine", "--json").json
    assert told["name"] == "mine"
    assert told["difficulty"]["difficulty"] is None
    assert "difficulty" not in bob("show", "mine").out


@pytest.mark.parametrize(
    ("words", "field"),
    [
        (["ranking", "--by", "model"], "by"),
        (["ranking", "--count", "0"], "count"),
        (["map"], "out"),
        (["map", "map.gif"], "out"),
        (["map", "/none/map.png"], "map.png"),
        (["map", "x.png", "--model", "none"], "model"),
        (["map", "x.png", "--color-by", "x"], "color-by"),
        (["generate", "mine", "/none.jsonl", "--dataset", "d"], "none.jsonl"),
        (["generate", "mine", "ROWS", "--dataset", "a/b"], "name"),
        (["generate", "mine", "ROWS", "--dataset", "d", "--min-score", "1"], "min_score"),
        (["generate", "mine", "ROWS"], "dataset"),
        (["generate", "ann/hidden", "ROWS", "--dataset", "d"], "ann/hidden"),
    ],
)
def test_wrong_words_end_in_one_line(bob: Run, data: Path, words: list[str], field: str) -> None:
    ended = bob(*(str(data) if word == "ROWS" else word for word in words))
    assert (ended.code, ended.out) == (2, "")
    assert len(ended.err.strip().splitlines()) == 1
    assert field in ended.err


@pytest.mark.device
def test_answers_become_a_dataset_to_train_on(
    bob: Run, run: Run, stack: Stack, tmp_path: Path
) -> None:
    rows = write_rows(tmp_path / "texts.jsonl", examples(6))
    options = ("--dataset", "made", "--labels", "red,blue")
    told = bob("generate", "ann/open", rows, *options, "--json").json
    assert (told["asked"], told["left_out"], told["dataset"]["rows"]) == (6, 0, 6)
    assert told["dataset"]["generated_by"] == bob("show", "ann/open", "--json").json["id"]
    assert "ann/open" in told["dataset"]["description"]
    again = bob("generate", "ann/open", rows, *options)
    assert again.code == 2
    assert "already" in again.err
    trained = run("--user", "bob", "train", "made", "--name", "later", "--steps", 2, "--json")
    assert trained.code == 0, trained.err
    assert json.loads(trained.out)["spec"]["dataset"] == told["dataset"]["id"]
