"""Rows with fields of their own, made examples by templates such as `{premise} so: {claim}`."""

from __future__ import annotations

import json
import string
from pathlib import Path

from ptsys.data.examples import read_examples
from ptsys.errors import InvalidInput
from ptsys.types.example import Example


def read_rows(path: Path, input_template: str, target_template: str) -> list[Example]:
    """The rows of a JSONL file, one object a line, as the templates make them.

    Raises InvalidInput for a template that is none, and with the line's number for a row that
    lacks a field or makes no example.
    """
    templates = {"input": input_template, "target": target_template}
    wanted = {key: _fields(template, key) for key, template in templates.items()}
    lines = []
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}") from None
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            lines.append("")
            continue
        row = _row(line, number)
        made = {}
        for key, template in templates.items():
            for field in wanted[key]:
                if field not in row:
                    raise InvalidInput(
                        f"line {number}: the row has no {field!r}, which the {key} template wants",
                        field=key,
                    )
            made[key] = template.format_map(row)
        lines.append(json.dumps(made))
    return read_examples(lines)


def _row(line: str, number: int) -> dict[str, object]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise InvalidInput(f"line {number}: not JSON ({error}); write one object a line") from None
    if not isinstance(row, dict):
        raise InvalidInput(f"line {number}: not an object; write {{...}} with named fields")
    return row


def _fields(template: str, key: str) -> list[str]:
    """The fields that a template names: plain names alone, without attributes and indices."""
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise InvalidInput(f"{template!r}: {error}", field=f"JsonlTask.{key}") from None
    fields = [name for _, name, _, _ in parts if name is not None]
    for name, (_, _, form, conversion) in zip(
        fields, [part for part in parts if part[1] is not None], strict=True
    ):
        if not name or not name.replace("_", "a").isalnum() or form or conversion:
            raise InvalidInput(
                f"{template!r}: write a field as {{name}}, and a brace as {{{{ or }}}}",
                field=f"JsonlTask.{key}",
            )
    return fields
