"""What a model does not read of inputs: too long ones, and characters it does not know."""

from __future__ import annotations

from collections.abc import Sequence

from ptsys.data.vocabulary import Vocabulary
from ptsys.errors import InvalidInput
from ptsys.types.input_notes import InputNotes


def input_notes(vocabulary: Vocabulary, inputs: Sequence[str], limit: int) -> InputNotes:
    """Counts of what is not read of these inputs by a model that reads `limit` tokens each."""
    return InputNotes(
        rows=len(inputs),
        cut=sum(_too_long(vocabulary, text, limit) > 0 for text in inputs),
        unknown=sum(vocabulary.unknown(text) is not None for text in inputs),
        limit=limit,
    )


def refuse_long(
    vocabulary: Vocabulary,
    inputs: Sequence[str],
    limit: int,
    *,
    field: str,
    by_place: bool = False,
) -> None:
    """Raise InvalidInput for the first input of more than `limit` tokens, its end included.

    The error names the row, counted from 1, or `by_place` a field such as `inputs.0`; and how many
    such inputs there are.
    """
    first: tuple[int, int] | None = None
    count = 0
    for place, text in enumerate(inputs):
        tokens = _too_long(vocabulary, text, limit)
        if tokens:
            count += 1
            first = first or (place, tokens)
    if first is None:
        return
    place, tokens = first
    named = "the input" if by_place else f"row {place + 1}: 'input'"
    more = "" if count == 1 else f" ({count} of {len(inputs)} inputs are too long)"
    raise InvalidInput(
        f"{named} has {tokens} tokens with its end, at most {limit} are read{more}; shorten it, or "
        "set truncate to have the ends cut off",
        field=f"{field}.{place}" if by_place else field,
    )


def _too_long(vocabulary: Vocabulary, text: str, limit: int) -> int:
    """The tokens of a text, its end included, if they are more than `limit`; else 0."""
    if len(text.encode(errors="replace")) + 2 <= limit:  # no token is shorter than a byte
        return 0
    tokens = len(vocabulary.encode(text)) + 1
    return tokens if tokens > limit else 0
