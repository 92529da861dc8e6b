"""The rows nearest to a prompted model's decision boundary: those it is least sure of."""

from __future__ import annotations

import numpy as np

from ptsys.selection.pool import Pick, Pool


def choose(pool: Pool, count: int, seed: int) -> list[Pick]:
    """The rows whose two best labels differ least in log-probability (margin sampling, Scheffer,
    Decomain & Wrobel 2001); of equals the first. Nothing is drawn."""
    scores = pool.scored()
    ranked = np.argsort(-scores, axis=1, kind="stable")[:, :2]
    best, second = np.take_along_axis(scores, ranked, axis=1).T
    picks = []
    for row in np.argsort(best - second, kind="stable")[:count]:
        high, low = (pool.labels[label] for label in ranked[row])
        margin = float(best[row] - second[row])
        picks.append(
            Pick(
                int(row),
                f"{high!r} ({best[row]:.3f} nats) and {low!r} ({second[row]:.3f}) are "
                f"{margin:.3g} apart",
                {"margin": margin, "best": float(best[row]), "second": float(second[row])},
            )
        )
    return picks
