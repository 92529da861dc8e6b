"""Examples: one `{"input": ..., "target": ...}` object a line."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator

from etils import epath

from ptsys.errors import InvalidInput
from ptsys.types.example import Example, digest
from ptsys.types.text import fault_of

__all__ = ["Example", "digest", "iterate_examples", "read_examples"]

_KEYS = ("input", "target")
_FORM = '{"input": "...", "target": "..."}'


def read_examples(
    source: str | os.PathLike[str] | Iterable[str | bytes], *, require_target: bool = True
) -> list[Example]:
    """All rows of a JSONL file (a path or a bucket's URL), or of lines already at hand.

    Blank lines are skipped. Raises InvalidInput, with the number of the first wrong line and how
    to mend it, for anything that is not such a row; and for a dataset without any.
    """
    examples = list(iterate_examples(source, require_target=require_target))
    if not examples:
        raise InvalidInput(f"{_name(source)} holds no rows; write one {_FORM} a line")
    return examples


def iterate_examples(
    source: str | os.PathLike[str] | Iterable[str | bytes], *, require_target: bool = True
) -> Iterator[Example]:
    """The rows of `read_examples`, one at a time, in constant memory; there may be none."""
    for number, line in enumerate(_lines(source), start=1):
        text = _decoded(line, number)
        if number == 1:
            text = text.removeprefix("\ufeff")  # the byte order mark of Windows editors
        text = text.rstrip("\r\n")
        if text.strip():
            yield _example(text, number, require_target)


def _lines(source: str | os.PathLike[str] | Iterable[str | bytes]) -> Iterator[str | bytes]:
    if not isinstance(source, str | os.PathLike):
        yield from source
        return
    path = epath.Path(source).expanduser()
    try:
        with path.open("rb") as file:
            yield from file
    except FileNotFoundError:
        raise InvalidInput(f"there is no file {path}; check the path") from None
    except IsADirectoryError:
        raise InvalidInput(f"{path} is a folder; name the JSONL file in it") from None
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror or error}") from error


def _name(source: object) -> str:
    return str(source) if isinstance(source, str | os.PathLike) else "the dataset"


def _decoded(line: str | bytes, number: int) -> str:
    if isinstance(line, str):
        return line
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"line {number}, byte {error.start + 1}: not UTF-8; save the file as UTF-8"
        ) from None


def _example(text: str, number: int, require_target: bool) -> Example:
    try:
        row = json.loads(text)
    except json.JSONDecodeError as error:
        raise InvalidInput(
            f"line {number}, column {error.colno}: not JSON ({error.msg}); write one {_FORM} a line"
        ) from None
    except (RecursionError, ValueError):  # nested too deep, or a number of too many digits
        raise InvalidInput(f"line {number}: not such a row; write {_FORM}") from None
    if not isinstance(row, dict):
        raise InvalidInput(f"line {number}: a JSON {_kind(row)}, not an object; write {_FORM}")
    for key in row:
        if key not in _KEYS:
            raise InvalidInput(
                f"line {number}: unknown key {key[:60]!r}; a row holds only 'input' and 'target'",
                field=key[:60],
            )
    text_in = _field(row, "input", number)
    if text_in is None:
        raise InvalidInput(f"line {number}: 'input' is missing; write {_FORM}", field="input")
    target = _field(row, "target", number)
    if target is None and require_target:
        raise InvalidInput(f"line {number}: 'target' is missing; write {_FORM}", field="target")
    return Example(text_in, target)


def _field(row: dict[str, object], key: str, number: int) -> str | None:
    value = row.get(key)
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidInput(
            f"line {number}: {key!r} is a {_kind(value)}; put the text in quotes", field=key
        )
    fault = fault_of(value)
    if fault is not None:
        raise InvalidInput(f"line {number}: {key!r} {fault}", field=key)
    if key == "target" and not value.strip():
        raise InvalidInput(
            f"line {number}: 'target' is empty; give the answer or remove the row", field=key
        )
    return value


def _kind(value: object) -> str:
    if value is None:
        return "null"
    names = {dict: "object", list: "list", str: "string", bool: "boolean"}
    return names.get(type(value), "number")
