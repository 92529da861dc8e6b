"""Rows without a target: spans of their input become one (Raffel et al. 2020, section 3.1.4)."""

from __future__ import annotations

import numpy as np

from ptsys.data.span_corruption import corrupt, corrupted_lengths
from ptsys.data.vocabulary import EOS, Vocabulary
from ptsys.errors import InvalidInput

LEAST_TOKENS = 2
"""One is kept and one is asked for."""


def check_row(vocabulary: Vocabulary, text: str, row: int) -> list[int]:
    """The row's token ids, without its end, once it is known that spans can be cut out of it.

    Raises InvalidInput, naming the row (counted from 1), for one that is too short, and for a
    vocabulary without sentinels.
    """
    tokens = vocabulary.encode(text)
    if len(tokens) < LEAST_TOKENS:
        raise InvalidInput(
            f"row {row} has no 'target', and an 'input' too short to cut spans out of: "
            f"{len(tokens)} tokens, at least {LEAST_TOKENS} are needed; give a target or remove "
            "the row",
            field="target",
        )
    if not vocabulary.sentinels():
        raise InvalidInput(
            f"row {row} has no 'target', and the model's vocabulary has no sentinels to stand for "
            "spans of its input; give a target",
            field="target",
        )
    return tokens


def is_cut(vocabulary: Vocabulary, text: str, input_limit: int, target_limit: int) -> bool:
    """Whether `span_corrupted` leaves out the end of this text."""
    tokens = len(vocabulary.encode(text))
    return _fitting(tokens, len(vocabulary.sentinels()), input_limit, target_limit) < tokens


def span_corrupted(
    vocabulary: Vocabulary, text: str, row: int, seed: int, input_limit: int, target_limit: int
) -> tuple[list[int], list[int], bool]:
    """Input ids and target ids of a row, each with its end, and whether its text was cut.

    The spans depend on (seed, row) alone: 15 % of the tokens, in spans of 3 on average. The text
    is cut so that what comes of it keeps within both limits (tokens). Raises as `check_row`.
    """
    tokens = check_row(vocabulary, text, row)
    kept = _fitting(len(tokens), len(vocabulary.sentinels()), input_limit, target_limit)
    if kept < LEAST_TOKENS:
        raise InvalidInput(
            f"row {row} has no 'target', and within {input_limit} input and {target_limit} target "
            "tokens none can be made of it; allow longer inputs or give a target",
            field="max_input_length",
        )
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, row))))
    inputs, targets = corrupt(tokens[:kept], rng, sentinel_ids=vocabulary.sentinels())
    return [*inputs, EOS], [*targets, EOS], kept < len(tokens)


def _fitting(length: int, sentinels: int, input_limit: int, target_limit: int) -> int:
    """The most tokens, of `length`, whose inputs and targets both fit with their ends."""
    most = min(length, 2 * input_limit)  # far more than half of them stay in the inputs
    for kept in range(most, LEAST_TOKENS - 1, -1):
        inputs, targets = corrupted_lengths(kept, sentinels)
        if inputs < input_limit and targets < target_limit:
            return kept
    return 0
