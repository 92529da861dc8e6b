"""One row of a dataset, and the fingerprint of many."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable


@dataclasses.dataclass(frozen=True, slots=True)
class Example:
    """One row: a text, and the text the model should answer (None where it is to be predicted)."""

    input: str
    target: str | None = None

    def to_json(self) -> str:
        """The row's one canonical line: fixed key order, no spaces, ASCII only, no newline."""
        row = {"input": self.input}
        if self.target is not None:
            row["target"] = self.target
        return json.dumps(row, ensure_ascii=True, separators=(",", ":"))


def digest(examples: Iterable[Example]) -> str:
    """SHA-256 (hex) of the canonical rows in order: equal if and only if the rows are."""
    total = hashlib.sha256()
    for example in examples:
        total.update(example.to_json().encode() + b"\n")
    return total.hexdigest()
