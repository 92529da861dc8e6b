"""Examples as token ids, and rows of ids as padded arrays."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ptsys.data.vocabulary import EOS, PAD, Vocabulary
from ptsys.errors import InvalidInput
from ptsys.types.example import Example


@dataclasses.dataclass(frozen=True)
class EncodedExamples:
    """A dataset as token ids: `inputs[i]` and `targets[i]` end with EOS and are not padded.

    `texts` are the targets as they were written. `max_input` and `max_target` are the lengths in
    tokens of the longest rows, EOS included; `truncated` counts the inputs that were cut.
    """

    inputs: list[list[int]]
    targets: list[list[int]]
    texts: list[str]
    max_input: int
    max_target: int
    truncated: int = 0

    def __len__(self) -> int:
        return len(self.inputs)


def encode_examples(
    vocabulary: Vocabulary, examples: Sequence[Example], input_limit: int, target_limit: int
) -> EncodedExamples:
    """Encode all rows. Raises InvalidInput, naming the row, for a target that is missing or longer
    than `target_limit` tokens, and for a dataset without rows."""
    if not examples:
        raise InvalidInput("there are no rows to encode; give at least one example", field="rows")
    texts = [_target(example, row) for row, example in enumerate(examples, start=1)]
    _check_limit(input_limit, "max_input_length")
    pieces = [vocabulary.encode(example.input) for example in examples]
    inputs = [_ended(ids, input_limit) for ids in pieces]
    targets = encode_targets(vocabulary, texts, target_limit)
    return EncodedExamples(
        inputs=inputs,
        targets=targets,
        texts=texts,
        max_input=max(map(len, inputs)),
        max_target=max(map(len, targets)),
        truncated=sum(len(ids) >= input_limit for ids in pieces),
    )


def encode_inputs(vocabulary: Vocabulary, texts: Sequence[str], limit: int) -> list[list[int]]:
    """Ids of each text, cut to `limit - 1`, then EOS: at most `limit` tokens a row."""
    _check_limit(limit, "max_input_length")
    return [_ended(vocabulary.encode(text), limit) for text in texts]


def encode_targets(
    vocabulary: Vocabulary, texts: Sequence[str], limit: int, *, field: str = "target"
) -> list[list[int]]:
    """Ids of each text, then EOS.

    A target is never cut, since a model trained on half an answer gives half an answer: raises
    InvalidInput, naming the row (counted from 1), if it has more than `limit` tokens with EOS.
    """
    _check_limit(limit, "max_target_length")
    rows = []
    for row, text in enumerate(texts, start=1):
        ids = [*vocabulary.encode(text), EOS]
        if len(ids) > limit:
            raise InvalidInput(
                f"row {row}: 'target' has {len(ids)} tokens with its end, at most {limit} are "
                "allowed; shorten it or remove the row",
                field=field,
            )
        rows.append(ids)
    return rows


def pad(rows: Sequence[Sequence[int]], width: int, count: int) -> NDArray[np.int32]:
    """The rows as int32 [count, width], padded on the right and with empty rows below.

    Raises ValueError if they do not fit: shapes are the caller's to choose.
    """
    if len(rows) > count:
        raise ValueError(f"{len(rows)} rows do not fit into {count}")
    padded = np.full((count, width), PAD, np.int32)
    for i, row in enumerate(rows):
        if len(row) > width:
            raise ValueError(f"row {i} has {len(row)} tokens, more than {width}")
        padded[i, : len(row)] = row
    return padded


def _ended(ids: Sequence[int], limit: int) -> list[int]:
    return [*ids[: limit - 1], EOS]


def _target(example: Example, row: int) -> str:
    if example.target is None:
        raise InvalidInput(f"row {row}: 'target' is missing; give the answer", field="target")
    return example.target


def _check_limit(limit: int, field: str) -> None:
    if limit < 1:
        raise InvalidInput(f"{field} must be at least 1 token, not {limit}", field=field)
