"""Rows drawn at random: what other methods are measured against."""

from __future__ import annotations

import numpy as np

from ptsys.selection.pool import Pick, Pool


def choose(pool: Pool, count: int, seed: int) -> list[Pick]:
    """Every row as likely as another, none twice."""
    rows = np.random.RandomState(seed).permutation(len(pool))[:count]
    return [Pick(int(row), f"drawn at random of {len(pool)} rows", {}) for row in rows]
