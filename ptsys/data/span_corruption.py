"""T5's span corruption over token ids (Raffel et al. 2020, section 3.1.4)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

NOISE_DENSITY, MEAN_SPAN_LENGTH = 0.15, 3.0  # T5's own


def _random_parts(total: int, parts: int, rng: np.random.Generator) -> list[int]:
    """`total` split at random into `parts` positive whole numbers."""
    cuts = np.sort(rng.choice(total - 1, size=parts - 1, replace=False)) + 1
    ends = [0, *(int(cut) for cut in cuts), total]
    return [end - start for start, end in itertools.pairwise(ends)]


def corrupted_lengths(length: int, sentinels: int) -> tuple[int, int]:
    """Tokens of the inputs and of the targets that `corrupt` makes of `length` tokens (2 or more)
    with its default rate and span length."""
    noise, spans = _counts(length, sentinels, NOISE_DENSITY, MEAN_SPAN_LENGTH)
    return length - noise + spans, noise + spans


def _counts(
    length: int, sentinels: int, noise_density: float, mean_span_length: float
) -> tuple[int, int]:
    """How many tokens are noise, and in how many spans."""
    noise = min(max(round(length * noise_density), 1), length - 1)
    spans = max(round(noise / mean_span_length), 1)
    return noise, min(spans, noise, length - noise, sentinels)


def corrupt(
    tokens: Sequence[int],
    rng: np.random.Generator,
    *,
    sentinel_ids: Sequence[int],
    noise_density: float = NOISE_DENSITY,
    mean_span_length: float = MEAN_SPAN_LENGTH,
) -> tuple[list[int], list[int]]:
    """Replace random spans by sentinels; returns (inputs, targets), both without EOS.

    The i-th span becomes the i-th sentinel in the inputs; the targets list each sentinel and then
    the tokens of its span. Kept and noise spans alternate and a kept one comes first, as in T5.
    Fewer than two tokens come back as they are, with no targets. Where the sentinels limit the
    number of spans, the spans are longer.
    """
    if not 0.0 < noise_density < 1.0:
        raise ValueError(f"noise_density must lie between 0 and 1, got {noise_density}")
    if mean_span_length < 1.0:
        raise ValueError(f"mean_span_length must be at least 1, got {mean_span_length}")
    if len(tokens) < 2:
        return list(tokens), []
    if not sentinel_ids:
        raise ValueError("span corruption needs at least one sentinel")
    noise, spans = _counts(len(tokens), len(sentinel_ids), noise_density, mean_span_length)
    kept_lengths = _random_parts(len(tokens) - noise, spans, rng)
    noise_lengths = _random_parts(noise, spans, rng)
    inputs: list[int] = []
    targets: list[int] = []
    at = 0
    for sentinel, kept, dropped in zip(sentinel_ids, kept_lengths, noise_lengths, strict=False):
        inputs.extend([*tokens[at : at + kept], sentinel])
        targets.extend([sentinel, *tokens[at + kept : at + kept + dropped]])
        at += kept + dropped
    return inputs, targets
