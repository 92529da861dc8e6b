"""How an example is laid out for a model that reads it to write a prompt.

Its label stands first, at fixed places, so that what the encoder makes of the label can be found
there; then the input. A task's description is laid out likewise, with no label. Each is read alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from ptsys.data.vocabulary import EOS

LABEL = 6
"""Tokens of a label that are read; longer ones are cut."""
ARROW = "="
BESIDE = LABEL + 2
"""Tokens that are read beside an example's input."""


def shown_example(
    source: Sequence[int], label: Sequence[int], arrow: Sequence[int], width: int
) -> list[int]:
    """Ids of one example, at most `width`: label, arrow, input, end."""
    head = list(label[:LABEL])
    return [
        *head,
        *[0] * (LABEL - len(head)),
        *arrow[:1],
        *source[: width - BESIDE],
        EOS,
    ]


def shown_jointly(shown: Sequence[Sequence[int]], width: int) -> list[int]:
    """Examples that are laid out alone, in one row of at most `width` ids: no label at its place,
    then of each input, arrow, label and end, as many as fit whole, of one that does not a part."""
    text: list[int] = []
    for row in shown:
        label = [token for token in row[:LABEL] if token]
        one = [*row[LABEL + 1 : -1], *row[LABEL : LABEL + 1], *label, EOS]
        if text and LABEL + len(text) + len(one) > width:
            break
        text += one
    text = text[: width - LABEL]
    return [*[0] * LABEL, *text[:-1], EOS]


def shown_description(text: Sequence[int], width: int) -> list[int]:
    """Ids of a task's description, at most `width`: no label, no arrow."""
    return [*[0] * LABEL, *text[: width - LABEL - 1], EOS]
