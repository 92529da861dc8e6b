"""The rows nearest to k-means centres of the encodings: a few that stand for all."""

from __future__ import annotations

import warnings

import numpy as np

from ptsys.selection.pool import Pick, Pool


def choose(pool: Pool, count: int, seed: int) -> list[Pick]:
    """One row for each of `count` clusters (k-means++, Arthur & Vassilvitskii 2007; Lloyd's
    iterations by scikit-learn), those of large clusters first. One thread alone, so that the same
    seed gives the same rows."""
    from sklearn.cluster import KMeans  # seconds to import
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    encodings = pool.read()
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different rows than clusters
        fitted = KMeans(count, init="k-means++", n_init=1, random_state=seed).fit(encodings)
    sizes = np.bincount(fitted.labels_, minlength=count)
    free = np.ones(len(pool), bool)
    picks = []
    for cluster in np.argsort(-sizes, kind="stable"):
        distances = np.linalg.norm(encodings - fitted.cluster_centers_[cluster][None], axis=1)
        wanted = free & (fitted.labels_ == cluster)
        row = int(np.argmin(np.where(wanted if wanted.any() else free, distances, np.inf)))
        free[row] = False
        distance, size = float(distances[row]), int(sizes[cluster])
        picks.append(
            Pick(
                row,
                f"nearest to the centre of {size} of {len(pool)} rows, {distance:.3g} away",
                {"distance": distance, "cluster_rows": size},
            )
        )
    return picks
