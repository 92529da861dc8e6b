"""How answers are made where they are scored: the one rule of every score, whoever takes it."""

from __future__ import annotations

from collections.abc import Sequence

from ptsys.types.requests import MOST_TOKENS, Decoding

_LEAST = 4  # tokens of the smallest compiled answer


def scoring(longest: int, limit: int, labels: Sequence[str] | None = None) -> Decoding:
    """How to answer rows of which the longest target has `longest` tokens, its end included, with
    a model that writes at most `limit`.

    Answers are greedy and have room for that target, rounded up to a power of two, as what is
    compiled is; so the same rows have the same score, whatever a prompt was trained on. With
    `labels` the likeliest of them is the answer.
    """
    room = max(_LEAST, 1 << max(longest - 1, 0).bit_length())
    chosen = tuple(labels) if labels else None
    return Decoding(max_tokens=max(1, min(room, limit, MOST_TOKENS)), labels=chosen)
