"""Exact search: every visible vector is compared, in blocks of matrix products."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ptsys.library.ranking import Hit, ranked
from ptsys.library.rows import Rows
from ptsys.types.metric import Metric

QUERIES_AT_ONCE = 64
ROWS_AT_ONCE = 16384
GROUP = 64  # neighbouring scores of which only the best is looked at first
_ROUNDING = 4e-6  # of a product of 4096 terms, summed in float32 in any order


def search(
    rows: Rows,
    queries: NDArray[np.float32],
    count: int,
    metric: Metric,
    visible: NDArray[np.bool_],
) -> list[list[Hit]]:
    """The `count` best of the slots that `visible` marks (of all used slots), for each directed
    query `[Q, D]`. Fewer where fewer are visible."""
    slots = np.flatnonzero(visible)
    if len(slots) == 0:
        return [[] for _ in queries]
    whole = len(slots) * 2 > len(visible)  # then gaps are cheaper to compute than to leave out
    results = []
    for start in range(0, len(queries), QUERIES_AT_ONCE):
        some = queries[start : start + QUERIES_AT_ONCE]
        which, candidates = _candidates(
            rows, some, count, metric, None if whole else slots, visible
        )
        results += ranked(rows, some, which, candidates, metric, count)
    return results


def _candidates(
    rows: Rows,
    queries: NDArray[np.float32],
    count: int,
    metric: Metric,
    slots: NDArray[np.int64] | None,
    visible: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs (query, slot) among which are the `count` best of each query.

    A running floor under each query's count-th best score comes from the best scores of groups:
    `count` groups whose best reach it hold as many scores that do. Only groups that reach the
    floor are looked into. The floor is lowered by what rounding may have moved.
    """
    total = len(visible) if slots is None else len(slots)
    group = GROUP if total >= 2 * GROUP * count else 1
    floors = np.empty((len(queries), 0), np.float32)
    slack = _slack(rows, queries, metric)
    parts: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]] = []
    for start in range(0, total, ROWS_AT_ONCE):
        end = min(start + ROWS_AT_ONCE, total)
        chosen: slice | NDArray[np.int64] = slice(start, end)
        if slots is not None:
            chosen = slots[start:end]
        scored = _block(rows, queries, metric, chosen, group)
        if slots is None:
            scored[:, : end - start][:, ~visible[start:end]] = -np.inf
        best = scored.reshape(len(queries), -1, group).max(axis=2) if group > 1 else scored
        floors = _best(np.concatenate([floors, best], axis=1), count)
        floor = floors.min(axis=1) if floors.shape[1] == count else np.full(len(queries), -np.inf)
        floor = np.maximum(floor - slack, np.finfo(np.float32).min).astype(np.float32)
        asked, groups = np.nonzero(best >= floor[:, None])
        inside = scored.reshape(len(queries), -1, group)[asked, groups]
        pairs, places = np.nonzero(inside >= floor[asked][:, None])
        candidates = start + groups[pairs] * group + places
        parts.append((asked[pairs], candidates, inside[pairs, places]))
    which, candidates, score = (np.concatenate(column) for column in zip(*parts, strict=True))
    good = score >= floor[which]
    which, candidates = which[good], candidates[good]
    return which, candidates if slots is None else slots[candidates]


def _block(
    rows: Rows,
    queries: NDArray[np.float32],
    metric: Metric,
    chosen: slice | NDArray[np.int64],
    group: int,
) -> NDArray[np.float32]:
    """Scores `[Q, rows]` up to a constant of each query, padded with -inf to whole groups."""
    vectors = rows.vectors[chosen]
    padding = -len(vectors) % group
    scored = np.empty((len(queries), len(vectors) + padding), np.float32)
    part = scored[:, : len(vectors)]
    np.matmul(queries, vectors.T, out=part)
    scored[:, len(vectors) :] = -np.inf
    if metric == "cosine":
        part *= rows.inverse[chosen]
    elif metric == "l2":
        part *= 2
        part -= rows.squared[chosen]
    return scored


def _best(values: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """The `count` greatest of each row, in any order."""
    if values.shape[1] <= count:
        return values
    place = values.shape[1] - count
    return np.partition(values, place, axis=1)[:, place:]


def _slack(rows: Rows, queries: NDArray[np.float32], metric: Metric) -> NDArray[np.float32]:
    """How far rounding may move the score of each query with any vector."""
    if metric == "cosine":
        return np.full(len(queries), 2 * _ROUNDING, np.float32)
    longest = float(np.sqrt(rows.squared[: rows.used].max(initial=0)))
    products = np.linalg.norm(queries, axis=1) * longest
    spread = products if metric == "dot" else products * 2 + longest**2
    return np.asarray(spread * 2 * _ROUNDING, np.float32)
