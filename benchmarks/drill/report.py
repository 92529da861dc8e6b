"""The figures of many rounds, as a table."""

from __future__ import annotations

import collections
from collections.abc import Iterable
from typing import Any

_FAULTS = (
    *("lost", "doubled", "unequal", "changed", "stale"),
    *("unexpected", "miscounted", "leaked", "strange"),
)


def markdown(rounds: Iterable[dict[str, Any]]) -> str:
    """One column a database, and one for all."""
    found = list(rounds)
    columns = {
        name: [one for one in found if one["database"] == name] for name in ("sqlite", "postgres")
    }
    columns = {name: some for name, some in columns.items() if some} | {"all": found}
    lines = [
        "| | " + " | ".join(columns) + " |",
        "|---|" + "---:|" * len(columns),
    ]
    for title, number in _rows(found):
        lines.append(f"| {title} | " + " | ".join(str(number(c)) for c in columns.values()) + " |")
    return "\n".join(lines)


def _rows(found: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = [("rounds", len)]
    rows.append(("processes killed", lambda some: sum(sum(one["killed"].values()) for one in some)))
    for kind in sorted(_all(found, "killed")):
        rows.append((f"… {kind}", lambda some, kind=kind: _all(some, "killed")[kind]))
    for kind in sorted(_all(found, "other_faults")):
        rows.append((kind, lambda some, kind=kind: _all(some, "other_faults")[kind]))
    for title, field in (
        ("jobs acknowledged", "jobs"),
        ("… succeeded", "succeeded"),
        ("… cancelled by their user", "cancelled"),
        ("… failed", "failed"),
        ("resumptions from a checkpoint", "resumed"),
        ("prompts with the undisturbed bits", "same_bits"),
        ("prompts within 1e-5 (in company)", "nearly"),
        ("datasets and prompts uploaded", "uploads"),
        ("predictions answered", "answers"),
    ):
        rows.append((title, lambda some, field=field: sum(one[field] for one in some)))
    for kind in _FAULTS:
        rows.append((f"**{kind}**", lambda some, kind=kind: _lines(some, kind)))
    return rows


def _all(rounds: Iterable[dict[str, Any]], field: str) -> collections.Counter[str]:
    total: collections.Counter[str] = collections.Counter()
    for one in rounds:
        total.update(one[field])
    return total


def _lines(rounds: Iterable[dict[str, Any]], kind: str) -> int:
    return sum(len(one["faults"].get(kind, ())) for one in rounds)
