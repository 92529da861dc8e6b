"""A prompt's vector: its change from the model's shared initialization, in as many numbers as the
model is wide, so that prompts of any length compare.

All prompts of a model begin at one start, of which a shorter is the end of a longer one. So rows
are counted from the end, the side next to the input. Letters: P prompt tokens, S tokens of the
start, D the model's width.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ptsys.errors import InvalidInput
from ptsys.types.library import DEFAULT_KIND, VectorKind

_SEED = 0
_COPIES = 4  # places of the projection to which each number goes
_KEPT_BYTES = 64 * 2**20  # of the projection's draws


def prompt_vector(
    tensor: NDArray[np.float32], start: NDArray[np.float32], kind: VectorKind = DEFAULT_KIND
) -> NDArray[np.float32]:
    """The vector [D] of a prompt [P, D] that began at the last P rows of `start` [S, D].

    Raises InvalidInput if the prompt is longer than the start, or the widths are not the same.
    """
    return _KINDS[kind](change(tensor, start))


def change(tensor: NDArray[np.float32], start: NDArray[np.float32]) -> NDArray[np.float32]:
    """What training changed, [P, D]. Raises InvalidInput as `prompt_vector`."""
    if tensor.ndim != 2 or tensor.shape[1] != start.shape[1] or len(tensor) > len(start):
        raise InvalidInput(
            f"a prompt of shape {list(tensor.shape)} does not compare with a start of "
            f"{list(start.shape)}; search with a prompt of this model",
            field="prompt",
        )
    return tensor.astype(np.float32) - start[len(start) - len(tensor) :]


def mean_vector(change_PD: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean over tokens of the change (Vu et al. 2022, SPoT, section 4.1: two such compare by
    the cosine of average tokens)."""
    return np.asarray(change_PD.mean(axis=0, dtype=np.float64), np.float32)


def token_vector(change_PD: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean over tokens of the unit vectors of each token's change.

    The inner product of two such is the mean over all pairs of tokens of their cosine, SPoT's
    per-token average similarity; a token that did not move counts as a cosine of zero.
    """
    lengths = np.linalg.norm(change_PD.astype(np.float64), axis=1, keepdims=True)
    units = np.divide(change_PD, lengths, out=np.zeros(change_PD.shape), where=lengths > 0)
    return np.asarray(units.mean(axis=0), np.float32)


def projection_vector(change_PD: NDArray[np.float32]) -> NDArray[np.float32]:
    """All of the change, flattened and projected to D numbers by a fixed sparse random matrix,
    whose inner products and distances are those of the whole change in the mean (Kane and Nelson
    2014, Sparser Johnson-Lindenstrauss transforms).

    Tokens that a shorter prompt lacks have not moved. The matrix is drawn a token at a time, from
    the end, and never stands in memory whole.
    """
    width = change_PD.shape[1]
    total = np.zeros(width)
    for place, row_D in enumerate(change_PD[::-1]):
        bins_CD, signs_CD = _draws(width)(place)
        weights = (signs_CD * row_D).ravel()
        total += np.bincount(bins_CD.ravel(), weights=weights, minlength=width)
    return np.asarray(total / np.sqrt(_COPIES), np.float32)


_KINDS: dict[VectorKind, Callable[[NDArray[np.float32]], NDArray[np.float32]]] = {
    "mean": mean_vector,
    "token": token_vector,
    "projection": projection_vector,
}

_Draw = Callable[[int], tuple[NDArray[np.int64], NDArray[np.float64]]]


@functools.cache
def _draws(width: int) -> _Draw:
    """Gives, for a token's place from the end, where its D numbers go and with which sign, both
    [copies, D]; from the raw stream of numpy's Philox, which never changes."""

    def draw(place: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        bits = np.random.Philox(np.random.SeedSequence([_SEED, place]))
        raw = bits.random_raw(_COPIES * width).reshape(_COPIES, width)
        bins = ((raw >> np.uint64(1)) % np.uint64(width)).astype(np.int64)
        return bins, np.where(raw & np.uint64(1), 1.0, -1.0)

    kept = max(1, _KEPT_BYTES // (16 * _COPIES * width))
    return functools.lru_cache(maxsize=kept)(draw)
