"""Rows in whatever form they are at hand."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from ptsys.errors import InvalidInput
from ptsys.types.example import Example

Row = Example | Mapping[str, str] | tuple[str, str]
"""An Example, `{"input": ..., "target": ...}`, or `(input, target)`."""

T = TypeVar("T")


def examples(rows: Iterable[Row], *, require_target: bool = True) -> list[Example]:
    """The rows as Examples. Raises InvalidInput naming the first wrong row, counted from 0."""
    made = [_example(row, number) for number, row in enumerate(rows)]
    if not made:
        raise InvalidInput("there are no rows", field="rows")
    if require_target:
        for number, row in enumerate(made):
            if row.target is None:
                raise InvalidInput(f"row {number} has no target", field=f"rows.{number}.target")
    return made


def read_rows(path: str | os.PathLike[str]) -> list[Example]:
    """The rows of a JSONL file on this machine, one `{"input": ..., "target": ...}` a line.

    Raises InvalidInput with the number of the first wrong line.
    """
    return parse(_bytes(path))


def parse(lines: bytes) -> list[Example]:
    """The rows of a JSONL text; blank lines are left out. Raises InvalidInput as `read_rows`."""
    try:
        text = lines.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = lines.count(b"\n", 0, error.start) + 1
        raise InvalidInput(f"line {number} is not UTF-8", field="data") from None
    found = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            found.append(_example(json.loads(line), number))
        except InvalidInput as error:
            raise InvalidInput(f"line {number}: {error}", field="data") from None
        except (ValueError, RecursionError):
            raise InvalidInput(f"line {number} is not JSON", field="data") from None
    return found


def jsonl(data: str | os.PathLike[str] | Iterable[Row]) -> bytes:
    """A dataset's lines: a file's own bytes, which the service checks, or rows written out."""
    if isinstance(data, str | os.PathLike):
        return _bytes(data)
    rows = examples(data, require_target=False)
    return "".join(row.to_json() + "\n" for row in rows).encode()


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of `size`; the last may be shorter."""
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, size)):
        yield batch


def _bytes(path: str | os.PathLike[str]) -> bytes:
    file = Path(path).expanduser()
    try:
        return file.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise InvalidInput(f"{file} cannot be read: {reason}", field="data") from error


def _example(row: Row, number: int) -> Example:
    if isinstance(row, Example):
        return row
    if isinstance(row, Mapping):
        unknown = sorted(set(row) - {"input", "target"})
        if unknown or "input" not in row:
            raise InvalidInput(
                f"row {number} has the keys {sorted(row)}; a row has 'input' and 'target'",
                field=f"rows.{number}",
            )
        text, target = row["input"], row.get("target")
    elif isinstance(row, tuple) and len(row) == 2:
        text, target = row
    else:
        raise InvalidInput(
            f'row {number} is a {type(row).__name__}; give {{"input": ..., "target": ...}} or '
            "(input, target)",
            field=f"rows.{number}",
        )
    if not isinstance(text, str) or not isinstance(target, str | None):
        raise InvalidInput(f"row {number} holds something that is no text", field=f"rows.{number}")
    return Example(text, target)
