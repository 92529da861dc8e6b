"""Vectors that lie in clusters, as prompts of like tasks do: what the benchmark searches."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MEMBERS = 100  # vectors in a cluster, on the mean
SPREAD = 0.3  # of a cluster, by that of the centres
LENGTHS = 0.25  # how much the logarithms of lengths vary
_AT_ONCE = 65536


def clustered_vectors(count: int, dimension: int, seed: int = 0) -> NDArray[np.float32]:
    """`[count, dimension]`, drawn from a mixture of `count / 100` Gaussians.

    The weight of the k-th Gaussian falls as 1/k: a few tasks are popular. Centres and members
    have a spectrum that falls as 1/k in variance, turned at random; the members' is 0.3 times as
    wide as the centres'. Each vector is then stretched by a log-normal factor, so that the three
    metrics disagree. The order is random, so any part is a sample of the same mixture.
    """
    random = np.random.default_rng(seed)
    spectrum = np.arange(1, dimension + 1) ** -0.5
    spectrum = (spectrum / np.sqrt(np.mean(spectrum**2))).astype(np.float32)
    turn = np.linalg.qr(random.standard_normal((dimension, dimension)))[0].astype(np.float32)
    clusters = max(count // MEMBERS, 1)
    centres = random.standard_normal((clusters, dimension), np.float32)
    weights = 1 / np.arange(1, clusters + 1)
    which = random.choice(clusters, size=count, p=weights / weights.sum())
    found = np.empty((count, dimension), np.float32)
    for start in range(0, count, _AT_ONCE):
        part = slice(start, min(start + _AT_ONCE, count))
        members = random.standard_normal(found[part].shape, np.float32) * np.float32(SPREAD)
        members = (members + centres[which[part]]) * spectrum
        members *= random.lognormal(0, LENGTHS, (len(members), 1)).astype(np.float32)
        found[part] = members @ turn
    return found
