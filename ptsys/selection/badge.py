"""Rows that would change a prompted model much, and differently from each other (BADGE).

Ash, Zhang, Krishnamurthy, Langford & Agarwal 2020, «Deep Batch Active Learning by Diverse,
Uncertain Gradient Lower Bounds», algorithm 1. Shape letters: see `ptsys.selection.pool`.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from ptsys.selection.pool import Pick, Pool


def choose(pool: Pool, count: int, seed: int) -> list[Pick]:
    """Rows drawn by k-means++ from the gradient embeddings: the longest first, then each with a
    probability that goes with its squared distance to the nearest chosen before."""
    draw = np.random.RandomState(seed)
    factors, encodings = label_factors(pool.scored()), pool.read()
    squares = np.sum(factors**2, axis=1) * np.sum(encodings**2, axis=1)
    norms = np.sqrt(squares)
    nearest = squares.copy()
    free = np.ones(len(pool), bool)
    picks: list[Pick] = []
    for number in range(count):
        weights = np.where(free, nearest, 0)
        if not weights.sum():  # all that are left equal one that was chosen
            weights = free.astype(np.float64)
        row = int(np.argmax(weights))
        if number:
            row = int(draw.choice(len(weights), p=weights / weights.sum()))
        picks.append(_pick(row, float(norms[row]), float(np.sqrt(nearest[row])), first=not number))
        free[row] = False
        # of two outer products the product is that of their factors' products
        products = (factors @ factors[row]) * (encodings @ encodings[row])
        distances = np.maximum(squares + squares[row] - 2 * products, 0)
        nearest = distances if not number else np.minimum(nearest, distances)
    return picks


def label_factors(scores: Float[ndarray, "N C"]) -> Float[ndarray, "N C"]:
    """The gradient of the cross-entropy by the labels' scores, the likeliest label taken for the
    truth: the probabilities of the labels less its one. Times the encoding it is the gradient
    embedding."""
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    factors: Float[ndarray, "N C"] = shifted / shifted.sum(axis=1, keepdims=True)
    factors[np.arange(len(scores)), scores.argmax(axis=1)] -= 1
    return factors


def _pick(row: int, norm: float, distance: float, *, first: bool) -> Pick:
    if first:
        return Pick(row, f"the longest gradient embedding, of norm {norm:.3g}", {"norm": norm})
    return Pick(
        row,
        f"gradient embedding of norm {norm:.3g}, {distance:.3g} from the nearest chosen before",
        {"norm": norm, "distance": distance},
    )
