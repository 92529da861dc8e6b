"""`ptsys select` on a folder and on a service."""

import json
from pathlib import Path

import pytest
from commands import Run, examples, write_rows

from ptsys.stack.stack import Stack


@pytest.mark.parametrize(
    ("words", "field"),
    [
        (["/none.jsonl"], "none.jsonl"),
        (["ROWS", "--method", "x"], "method"),
        (["ROWS", "--count", "0"], "count"),
        (["ROWS", "--method", "random", "--count", "30"], "count"),
        (["ROWS", "--plot", "map.html"], "plot"),
        (["ROWS", "--out", "/none/few.jsonl"], "few.jsonl"),
        (["ROWS", "--method", "margin"], "prompt"),
        (["ROWS"], "no worker serves"),
    ],
)
def test_what_is_wrong_is_one_line(run: Run, data: Path, words: list[str], field: str) -> None:
    ended = run("select", *(data if word == "ROWS" else word for word in words))
    assert ended.code != 0
    assert ended.out == ""
    assert field in ended.err
    assert len(ended.err.strip().splitlines()) == 1


def test_random_rows_into_a_file(run: Run, data: Path, tmp_path: Path) -> None:
    few = tmp_path / "few.jsonl"
    ended = run("select", data, "--method", "random", "--count", "1", "--per-class", "--out", few)
    assert ended.code == 0, ended.err
    assert "drawn at random" in ended.out
    assert "4 of 24 rows" in ended.err
    targets = [json.loads(line)["target"] for line in few.read_text().splitlines()]
    assert targets == ["black", "blue", "green", "red"]


def test_chosen_by_encodings_with_a_picture(
    stack: Stack, run: Run, data: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "map.png"
    ended = run("select", data, "--count", "4", "--plot", picture, "--json")
    assert ended.code == 0, ended.err
    told = ended.json
    assert told["method"] == "kmeans"
    rows = [one["row"] for one in told["chosen"]]
    assert len(set(rows)) == 4
    assert all(one["input"] == examples(24)[one["row"]].input for one in told["chosen"])
    assert picture.read_bytes().startswith(b"\x89PNG")
    again = run("select", write_rows(tmp_path / "other.jsonl", examples(24)), "--count", "4")
    assert "nearest to the centre of" in again.out
