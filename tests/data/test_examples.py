import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptsys.data.examples import Example, digest, iterate_examples, read_examples
from ptsys.errors import InvalidInput

GOOD = b'{"input": "a", "target": "b"}\n'

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@given(rows=st.lists(st.builds(Example, TEXT, TEXT.filter(str.strip)), min_size=1))
def test_what_is_written_is_read(rows: list[Example]) -> None:
    assert read_examples([row.to_json() for row in rows]) == rows


@given(rows=st.lists(st.builds(Example, TEXT, TEXT), max_size=4), other=st.builds(Example, TEXT))
def test_the_digest_knows_rows_and_order(rows: list[Example], other: Example) -> None:
    assert digest(rows) == digest(list(rows))
    assert digest([*rows, other]) != digest(rows)
    if rows != rows[::-1]:
        assert digest(rows) != digest(rows[::-1])


def test_the_digest_does_not_depend_on_how_json_was_written() -> None:
    spaced = ['{"target":"é",   "input":"a"}']
    escaped = ['{"input": "a", "target": "\\u00e9"}']
    assert digest(read_examples(spaced)) == digest(read_examples(escaped))


@pytest.mark.parametrize(
    ("line", "says", "field"),
    [
        (b'{"input": "\xff"}', "byte 12: not UTF-8", None),
        (b'{"input": "a"', "column 14: not JSON", None),
        (b"[1]", "a JSON list, not an object", None),
        (b'"text"', "a JSON string, not an object", None),
        (b"[" * 100_000, "line 2", None),
        (b'{"target": "b"}', "'input' is missing", "input"),
        (b'{"input": null, "target": "b"}', "'input' is missing", "input"),
        (b'{"input": "a"}', "'target' is missing", "target"),
        (b'{"input": 1, "target": "b"}', "'input' is a number", "input"),
        (b'{"input": "a", "target": ["b"]}', "'target' is a list", "target"),
        (b'{"input": "a", "target": true}', "'target' is a boolean", "target"),
        (b'{"input": "a", "target": " "}', "'target' is empty", "target"),
        (b'{"input": "a\\u0000", "target": "b"}', "NUL", "input"),
        (b'{"input": "a", "target": "\\ud800"}', "surrogate", "target"),
        (b'{"input": "a", "target": "b", "label": 1}', "unknown key 'label'", "label"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: bytes, says: str, field: str | None) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(GOOD + line + b"\n")
    with pytest.raises(InvalidInput) as caught:
        read_examples(path)
    assert str(caught.value).startswith("line 2")
    assert says in str(caught.value)
    assert caught.value.field == field


def test_a_blank_line_counts_but_is_no_row(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD + b"\n  \r\n" + GOOD + b"oops")
    with pytest.raises(InvalidInput, match="line 5"):
        read_examples(path)
    path.write_bytes(path.read_bytes().removesuffix(b"oops"))
    assert len(read_examples(str(path))) == 2


def test_targets_may_be_left_out_where_they_are_not_needed() -> None:
    rows = ['{"input": "a"}', '{"input": "b", "target": null}', '{"input": "", "target": "c"}']
    assert read_examples(rows, require_target=False) == [
        Example("a"),
        Example("b"),
        Example("", "c"),
    ]


@pytest.mark.parametrize("name", ["missing.jsonl", "."])
def test_what_is_no_file_is_said(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match=r"no file|folder"):
        read_examples(tmp_path / name)


def test_no_rows_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("\n\n")
    with pytest.raises(InvalidInput, match="no rows"):
        read_examples(tmp_path / "empty.jsonl")


def test_rows_stream() -> None:
    def endless() -> object:
        while True:
            yield json.dumps({"input": "a", "target": "b"})

    rows = iterate_examples(endless())  # type: ignore[arg-type]
    assert [next(rows) for _ in range(3)] == [Example("a", "b")] * 3
