"""Whether a vocabulary can write a text: what it cannot, no model learns to answer."""

from __future__ import annotations

from collections.abc import Sequence

from ptsys.data.metrics import normalize_answer
from ptsys.data.vocabulary import UNKNOWN, Vocabulary
from ptsys.errors import InvalidInput


def unwritable(vocabulary: Vocabulary, text: str, ids: Sequence[int] | None = None) -> str | None:
    """The first character of a text that does not come back from its ids, None if all do.

    White space and Unicode's compatibility forms do not count, as they do not where answers are
    compared. `ids` are the text's own, where they are known.
    """
    ids = vocabulary.encode(text) if ids is None else ids
    if _same(vocabulary, text, ids):
        return None
    for letter in text:
        if not letter.isspace() and not _same(vocabulary, letter, vocabulary.encode(letter)):
            return letter
    return text.strip()[:1] or None  # each alone is written, but not in this company


def refuse_unwritable(wrong: Sequence[tuple[int, str]], rows: int, field: str) -> None:
    """Raise InvalidInput if there are `wrong` targets among so many rows: each one's row, counted
    from 1, and the first character of it that cannot be written."""
    if not wrong:
        return
    row, letter = wrong[0]
    more = "" if len(wrong) == 1 else f" ({len(wrong)} of {rows} rows have such targets)"
    raise InvalidInput(
        f"row {row}: 'target' holds {letter!r} (U+{ord(letter):04X}), which the model's vocabulary "
        f"cannot write{more}; replace it or remove the row",
        field=field,
    )


def _same(vocabulary: Vocabulary, text: str, ids: Sequence[int]) -> bool:
    if UNKNOWN in ids:
        return False
    return normalize_answer(vocabulary.decode(ids)) == normalize_answer(text)
