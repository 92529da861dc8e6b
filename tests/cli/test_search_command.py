"""`prompts search` and `prompts edit`, without a worker where none is needed."""

from pathlib import Path

import numpy as np
import pytest
from commands import MODEL, Run, call, examples, write_rows

from ptsys.jobs.limits import read_limits
from ptsys.library.starts import write_start
from ptsys.stack.stack import Stack


@pytest.fixture(scope="module")
def prompts(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of ann and bob, each moved from the start along an axis; `near` and `twin` along the same."""
    limits = read_limits(root, MODEL)
    width = limits.d_model
    start = np.random.default_rng(2).normal(size=(1024, width)).astype(np.float32)
    write_start(root, limits.fingerprint, start)
    folder = tmp_path_factory.mktemp("tensors")
    for user, name, axis in (
        ("ann", "twin", 0),
        ("ann", "far", 1),
        ("ann", "hidden", 0),
        ("bob", "near", 0),
    ):
        path = folder / f"{name}.npy"
        np.save(path, start[-3:] + np.eye(width, dtype=np.float32)[axis])
        ended = call(
            *("--data", root, "--user", user, "prompts", "import", path),
            *("--name", name, "--model", MODEL),
        )
        assert ended.code == 0, ended.err
    return root


@pytest.fixture
def bob(prompts: Path, run: Run) -> Run:
    return lambda *arguments: run("--user", "bob", *arguments)


@pytest.fixture
def ann(prompts: Path, run: Run) -> Run:
    return lambda *arguments: run("--user", "ann", *arguments)


def test_what_is_made_public_is_found_by_others(ann: Run, bob: Run) -> None:
    assert bob("prompts", "search", "near", "--json").json == []
    for name in ("twin", "far"):
        ended = ann(
            *("prompts", "edit", name, "--visibility", "public", "--contact", "ann@example.org"),
            *("--licence", "MIT", "--description", f"The {name} one", "--tag", "moved"),
        )
        assert ended.code == 0, ended.err
    found = bob("prompts", "search", "near", "--json").json
    assert [one["prompt"]["name"] for one in found] == ["twin", "far"]
    assert [one["comparable"] for one in found] == [False, False]
    shown = bob("prompts", "search", "near").out
    for word in ("ann/twin", "ann@example", "1.000?", found[0]["prompt"]["id"][:8]):
        assert word in shown
    assert "hidden" not in shown
    for more, names in (
        (("--text", "TWIN one"), ["twin"]),
        (("--tag", "moved", "--count", "1"), ["twin"]),
        (("--mine",), []),
        (("--owner", "ann", "--public", "--licence", "mit"), ["twin", "far"]),
        (("--min-accuracy", "0.5"), []),
        (("--metric", "l2", "--kind", "mean"), ["twin", "far"]),
    ):
        told = bob("prompts", "search", "near", *more, "--json").json
        assert [one["prompt"]["name"] for one in told] == names, more
    alone = bob("prompts", "search", "--text", "twin far", "--json").json
    assert sorted(one["prompt"]["name"] for one in alone) == ["far", "twin"]
    record = bob("prompts", "show", "ann/twin").out
    for word in ("ann@example.org", "MIT", "The twin one", "moved", "uses"):
        assert word in record


def test_sharing_with_one_user_reaches_that_user_alone(ann: Run, bob: Run) -> None:
    assert ann("prompts", "edit", "hidden", "--share-with", "bob").code == 0
    found = bob("prompts", "search", "--text", "hidden", "--json").json
    assert [one["prompt"]["name"] for one in found] == ["hidden"]
    assert found[0]["prompt"]["shared_with"] == []
    assert ann("prompts", "edit", "hidden", "--visibility", "private").code == 0
    assert bob("prompts", "search", "--text", "hidden", "--json").json == []


@pytest.mark.parametrize(
    ("words", "field"),
    [
        (["search"], "prompt"),
        (["search", "--text", " "], "prompt"),
        (["search", "near", "--data", "x.jsonl"], "data"),
        (["search", "--data", "/none.jsonl"], "none.jsonl"),
        (["search", "nobody/none"], "none"),
        (["search", "near", "--min-accuracy", "3"], "min_accuracy"),
        (["search", "near", "--mine", "--owner", "ann"], "owner"),
        (["search", "near", "--count", "0"], "count"),
        (["edit", "near", "--share-with", "ann", "--visibility", "public"], "shared_with"),
        (["edit", "near", "--contact", "x" * 201], "contact"),
        (["edit", "near", "--tag", "a", "--no-tags"], "tag"),
        (["edit", "ann/twin", "--licence", "MIT"], "ann/twin"),
    ],
)
def test_wrong_words_end_in_one_line(bob: Run, words: list[str], field: str) -> None:
    ended = bob("prompts", *words)
    assert (ended.code, ended.out) == (2, "")
    assert len(ended.err.strip().splitlines()) == 1
    assert field in ended.err


@pytest.mark.device
def test_rows_are_searched_by_once_a_prompt_is_trained(
    ann: Run, bob: Run, stack: Stack, tmp_path: Path
) -> None:
    rows = write_rows(tmp_path / "few.jsonl", examples(6))
    assert ann("prompts", "edit", "twin", "--visibility", "public").code == 0
    ended = bob("prompts", "search", "--data", rows, "--steps", 2, "--json")
    assert ended.code == 0, ended.err
    assert "twin" in [one["prompt"]["name"] for one in ended.json]
    queries = [one for one in bob("prompts", "list", "--json").json if "query" in one["tags"]]
    assert [one["visibility"] for one in queries] == ["private"]
    again = bob("prompts", "search", "--data", rows, "--steps", 2, "--json")
    assert (again.json, again.err) == (ended.json, "")
