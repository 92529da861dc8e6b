"""How the compact strings of the lexicon are read."""

from __future__ import annotations


def words(text: str) -> tuple[str, ...]:
    """Split on whitespace, drop repeats, and read an underscore as a space."""
    return tuple(dict.fromkeys(word.replace("_", " ") for word in text.split()))


def groups(text: str) -> dict[str, tuple[str, ...]]:
    """Read lines `name: word word word`; a line that has no colon continues the one before."""
    found: dict[str, tuple[str, ...]] = {}
    name = ""
    for line in text.strip().splitlines():
        head, colon, rest = line.partition(":")
        if colon:
            name = head.strip().replace("_", " ")
        found[name] = tuple(dict.fromkeys(found.get(name, ()) + words(rest if colon else line)))
    return found


def pairs(text: str) -> tuple[tuple[str, str], ...]:
    """Read items `left=right`, separated by whitespace."""
    items = (item.partition("=") for item in text.split())
    found = ((left.replace("_", " "), right.replace("_", " ")) for left, _, right in items)
    return tuple(dict.fromkeys(found))


def phrases(text: str) -> tuple[str, ...]:
    """Read one phrase a line, or several separated by `|`."""
    parts = (part.strip() for line in text.strip().splitlines() for part in line.split("|"))
    return tuple(dict.fromkeys(part for part in parts if part))
