"""A prompt's vector: of its change from where all prompts of its kind and model start, made so that
prompts of any length compare.

What has changed says the prompt's kind (`PromptKind.compared`), positions counted from the end: a
shorter prompt starts as the end of a longer one. Letters: P positions, W the numbers that change at
one of them (the model's width, of soft tokens), N a vector's numbers, W or MOST_NUMBERS.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptsys.types.library import DEFAULT_KIND, MOST_NUMBERS, VectorKind

_SEED = 0
_COPIES = 4  # places of the projection to which each number goes
_KEPT_BYTES = 64 * 2**20  # of the projection's draws


def prompt_vector(
    change_PW: NDArray[np.float32], kind: VectorKind = DEFAULT_KIND
) -> NDArray[np.float32]:
    """The vector [N] of what training changed of a prompt."""
    return _KINDS[kind](change_PW)


def mean_vector(change_PW: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean over tokens of the change (Vu et al. 2022, SPoT, section 4.1: two such compare by
    the cosine of average tokens)."""
    return _narrowed(change_PW.mean(axis=0, dtype=np.float64))


def token_vector(change_PW: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean over tokens of the unit vectors of each token's change.

    The inner product of two such is the mean over all pairs of tokens of their cosine, SPoT's
    per-token average similarity; a token that did not move counts as a cosine of zero.
    """
    lengths = np.linalg.norm(change_PW.astype(np.float64), axis=1, keepdims=True)
    units = np.divide(change_PW, lengths, out=np.zeros(change_PW.shape), where=lengths > 0)
    return _narrowed(units.mean(axis=0))


def projection_vector(change_PW: NDArray[np.float32]) -> NDArray[np.float32]:
    """All of the change, flattened and projected to N numbers by a fixed sparse random matrix,
    whose inner products and distances are those of the whole change in the mean (Kane and Nelson
    2014, Sparser Johnson-Lindenstrauss transforms).

    Tokens that a shorter prompt lacks have not moved. The matrix is drawn a token at a time, from
    the end, and never stands in memory whole.
    """
    total = sum(_projected(row_W, place) for place, row_W in enumerate(change_PW[::-1]))
    return np.asarray(total / np.sqrt(_COPIES), np.float32)


def _narrowed(vector_W: NDArray[np.float64]) -> NDArray[np.float32]:
    """A vector that is too wide projected in the same way, others as they are."""
    if len(vector_W) > MOST_NUMBERS:
        vector_W = _projected(vector_W, 0) / np.sqrt(_COPIES)
    return np.asarray(vector_W, np.float32)


def _projected(vector_W: NDArray[np.floating[Any]], place: int) -> NDArray[np.float64]:
    bins_CW, signs_CW = _draws(len(vector_W))(place)
    weights = (signs_CW * vector_W).ravel()
    numbers = min(len(vector_W), MOST_NUMBERS)
    return np.asarray(np.bincount(bins_CW.ravel(), weights, minlength=numbers), np.float64)


_KINDS: dict[VectorKind, Callable[[NDArray[np.float32]], NDArray[np.float32]]] = {
    "mean": mean_vector,
    "token": token_vector,
    "projection": projection_vector,
}

_Draw = Callable[[int], tuple[NDArray[np.int64], NDArray[np.float64]]]


@functools.cache
def _draws(width: int) -> _Draw:
    """Gives, for a position counted from the end, where its W numbers go and with which sign, both
    [copies, W]; from the raw stream of numpy's Philox, which never changes."""
    numbers = np.uint64(min(width, MOST_NUMBERS))

    def draw(place: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        bits = np.random.Philox(np.random.SeedSequence([_SEED, place]))
        raw = bits.random_raw(_COPIES * width).reshape(_COPIES, width)
        bins = ((raw >> np.uint64(1)) % numbers).astype(np.int64)
        return bins, np.where(raw & np.uint64(1), 1.0, -1.0)

    kept = max(1, _KEPT_BYTES // (16 * _COPIES * width))
    return functools.lru_cache(maxsize=kept)(draw)
