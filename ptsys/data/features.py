"""Examples as token ids, and rows of ids as padded arrays."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptsys.data.unsupervised import span_corrupted
from ptsys.data.vocabulary import EOS, Vocabulary
from ptsys.data.writing import refuse_unwritable, unwritable
from ptsys.errors import InvalidInput
from ptsys.types.example import Example
from ptsys.types.input_notes import InputNotes

LIKELY = 8
"""Tokens of which it is kept how likely a prompt would answer with them, of every position."""

LIKELY_TOKENS, LIKELY_LOGS, LIKELY_WEIGHT = "targets/likely", "targets/logs", "targets/weight"
"""What may stand beside `targets`: those tokens and their log-probabilities, the positions' one
after another, and how much the divergence from them weighs."""


@dataclasses.dataclass(frozen=True)
class EncodedExamples:
    """A dataset as token ids: `inputs[i]` and `targets[i]` end with EOS and are not padded.

    `texts` are the targets as they were written, of the rows that have one. `max_input` and
    `max_target` are the lengths in tokens of the longest rows, EOS included; `truncated` counts
    the inputs that were cut to `limit` tokens, `unknown` those with characters that the vocabulary
    does not know.
    """

    inputs: list[list[int]]
    targets: list[list[int]]
    texts: list[str]
    max_input: int
    max_target: int
    truncated: int = 0
    unknown: int = 0
    limit: int = 0

    @property
    def notes(self) -> InputNotes:
        """What is not read of the inputs."""
        return InputNotes(
            rows=len(self.inputs), cut=self.truncated, unknown=self.unknown, limit=self.limit
        )

    @property
    def features(self) -> dict[str, Sequence[Any]]:
        """Inputs and targets by name."""
        return {"inputs": self.inputs, "targets": self.targets}

    @property
    def longest(self) -> dict[str, int]:
        """The longest of each."""
        return {"inputs": self.max_input, "targets": self.max_target}

    def __len__(self) -> int:
        return len(self.inputs)


@dataclasses.dataclass(frozen=True)
class AnsweredExamples(EncodedExamples):
    """Rows with how another prompt would answer them: of each row the `LIKELY` likeliest tokens of
    every position of its target, and their log-probabilities, arrays [T, LIKELY]; a row whose
    weight is 0 has none."""

    tokens: Sequence[NDArray[np.int32]] = ()
    logs: Sequence[NDArray[np.float32]] = ()
    weights: Sequence[float] = ()

    @property
    def features(self) -> dict[str, Sequence[Any]]:
        """Inputs and targets by name, and the answers beside."""
        beside: dict[str, Sequence[Any]] = {
            LIKELY_TOKENS: [x.reshape(-1) for x in self.tokens],
            LIKELY_LOGS: [x.reshape(-1) for x in self.logs],
            LIKELY_WEIGHT: self.weights,
        }
        return {**super().features, **beside}

    @property
    def longest(self) -> dict[str, int]:
        """The longest of each."""
        return {**super().longest, LIKELY_TOKENS: self.max_target * LIKELY}


def encode_examples(
    vocabulary: Vocabulary,
    examples: Sequence[Example],
    input_limit: int,
    target_limit: int,
    *,
    seed: int = 0,
) -> EncodedExamples:
    """Encode all rows; one without a target is span-corrupted, as `seed` and its number decide.

    Raises InvalidInput, naming the row, for a target longer than `target_limit` tokens or that the
    vocabulary cannot write, for an input too short to make one of, and for a dataset without rows.
    """
    if not examples:
        raise InvalidInput("there are no rows to encode; give at least one example", field="rows")
    _check_limit(input_limit, "max_input_length")
    _check_limit(target_limit, "max_target_length")
    inputs, targets, truncated, unknown = [], [], 0, 0
    wrong: list[tuple[int, str]] = []
    for row, example in enumerate(examples, start=1):
        if example.target is None:
            ids, wanted, cut = span_corrupted(
                vocabulary, example.input, row, seed, input_limit, target_limit
            )
        else:
            pieces = vocabulary.encode(example.input)
            ids, cut = _ended(pieces, input_limit), len(pieces) >= input_limit
            wanted = _encoded_target(vocabulary, example.target, row, target_limit, "target")
            letter = unwritable(vocabulary, example.target, wanted[:-1])
            wrong += [(row, letter)] if letter is not None else []
        inputs.append(ids)
        targets.append(wanted)
        truncated += cut
        unknown += vocabulary.unknown(example.input) is not None
    refuse_unwritable(wrong, len(examples), "target")
    return EncodedExamples(
        inputs=inputs,
        targets=targets,
        texts=[example.target for example in examples if example.target is not None],
        max_input=max(map(len, inputs)),
        max_target=max(map(len, targets)),
        truncated=truncated,
        unknown=unknown,
        limit=input_limit,
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
    InvalidInput, naming the row (counted from 1), if it has more than `limit` tokens with EOS, or
    characters that the vocabulary cannot write.
    """
    _check_limit(limit, "max_target_length")
    found = [
        _encoded_target(vocabulary, text, row, limit, field)
        for row, text in enumerate(texts, start=1)
    ]
    letters = [
        unwritable(vocabulary, text, ids[:-1]) for text, ids in zip(texts, found, strict=True)
    ]
    wrong = [(row, letter) for row, letter in enumerate(letters, start=1) if letter is not None]
    refuse_unwritable(wrong, len(texts), field)
    return found


def longest_target(vocabulary: Vocabulary, texts: Sequence[str]) -> int:
    """Tokens of the longest of these targets, its end included; those too long are counted too."""
    return max(len(vocabulary.encode(text)) for text in texts) + 1


def _ended(ids: Sequence[int], limit: int) -> list[int]:
    return [*ids[: limit - 1], EOS]


def _encoded_target(
    vocabulary: Vocabulary, text: str, row: int, limit: int, field: str
) -> list[int]:
    ids = [*vocabulary.encode(text), EOS]
    if len(ids) > limit:
        raise InvalidInput(
            f"row {row}: 'target' has {len(ids)} tokens with its end, at most {limit} are "
            "allowed; shorten it or remove the row",
            field=field,
        )
    return ids


def _check_limit(limit: int, field: str) -> None:
    if limit < 1:
        raise InvalidInput(f"{field} must be at least 1 token, not {limit}", field=field)
