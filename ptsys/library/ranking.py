"""From candidates to the hits that a search returns: one way of scoring, for every search."""

from __future__ import annotations

import functools
import itertools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ptsys.library.rows import SMALLEST_LENGTH, Rows
from ptsys.types.metric import Metric

_AT_ONCE = 1 << 22  # numbers gathered at a time: 16 MB


class Hit(NamedTuple):
    """One result of a search; the higher its score, the more alike.

    The score is the cosine (0 where a vector is zero), the inner product, or for "l2" the
    *negative squared* Euclidean distance.
    """

    id: str
    score: float


_hit = functools.partial(tuple.__new__, Hit)  # as Hit(*pair), a third faster


def directed(queries: NDArray[np.float32], metric: Metric) -> NDArray[np.float32]:
    """The queries as the metric sees them: of length 1 for cosine (zero stays zero)."""
    if metric != "cosine":
        return queries
    lengths = np.linalg.norm(queries.astype(np.float64), axis=1, keepdims=True)
    some = lengths > SMALLEST_LENGTH
    whole = np.divide(queries, lengths, out=np.zeros(queries.shape, np.float64), where=some)
    return np.asarray(whole, np.float32)


def scores(
    rows: Rows,
    queries: NDArray[np.float32],
    which: NDArray[np.int64],
    slots: NDArray[np.int64],
    metric: Metric,
) -> NDArray[np.float32]:
    """Score of each pair (directed query `which[i]`, vector in `slots[i]`).

    Each is summed by itself, so it has the same bits whatever else is searched with it, and equal
    vectors have equal scores.
    """
    values = np.empty(len(slots), np.float32)
    step = max(_AT_ONCE // rows.dimension, 1)
    for start in range(0, len(slots), step):
        part = slice(start, start + step)
        asked, vectors = queries[which[part]], rows.vectors[slots[part]]
        if metric == "l2":
            asked -= vectors
            values[part] = -np.einsum("nd,nd->n", asked, asked)
        else:
            values[part] = np.einsum("nd,nd->n", asked, vectors)
    if metric == "cosine":
        values *= rows.inverse[slots]
        np.clip(values, -1, 1, out=values)
    return values


def ranked(
    rows: Rows,
    queries: NDArray[np.float32],
    which: NDArray[np.int64],
    slots: NDArray[np.int64],
    metric: Metric,
    count: int,
) -> list[list[Hit]]:
    """The `count` best candidates of each query, best first, equal scores in the order of ids.

    `which[i]` says whose candidate `slots[i]` is; the queries are directed.
    """
    values = scores(rows, queries, which, slots, metric)
    order = np.lexsort((-values, which))
    which, slots, values = which[order], slots[order], values[order]
    bounds = np.searchsorted(which, np.arange(len(queries) + 1))
    place = np.arange(len(which)) - bounds[which]
    tied = (values[1:] == values[:-1]) & (which[1:] == which[:-1]) & (place[:-1] < count)
    unclear = set(which[1:][tied].tolist())
    names = [rows.ids[slot] or "" for slot in slots.tolist()]
    hits = list(map(_hit, zip(names, values.tolist(), strict=True)))
    results = []
    for query, (start, end) in enumerate(itertools.pairwise(bounds.tolist())):
        some = hits[start:end]
        if query in unclear:
            some.sort(key=lambda hit: (-hit.score, hit.id))
        results.append(some[:count])
    return results
