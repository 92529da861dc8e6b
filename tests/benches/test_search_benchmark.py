"""The benchmark measures what it says, on a library small enough for a test."""

from __future__ import annotations

import numpy as np
import pytest

from ptsys.benches.clustered_vectors import clustered_vectors
from ptsys.benches.search import measure
from ptsys.cli.bench_tables import show_search


def test_every_metric_is_measured_and_found(capsys: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    found = list(measure([3000], 16, ["cosine", "l2", "dot"], said.append))
    assert [one.metric for one in found] == ["cosine", "l2", "dot"]
    for one in found:
        assert min(one.recall, one.changed_recall) > 0.9
        assert (one.restricted_hits, one.restricted_recall) == (10, 1.0)
        assert min(one.exact_qps, one.approximate_qps, one.upserts_per_second) > 0
    assert any("building" in text for text in said)
    show_search(found)
    assert capsys.readouterr().out.count("3,000") == 6


def test_the_vectors_lie_in_clusters_of_unlike_sizes() -> None:
    found = clustered_vectors(4000, 32)
    assert np.array_equal(found, clustered_vectors(4000, 32))
    unit = found / np.linalg.norm(found, axis=1, keepdims=True)
    near = (unit @ unit.T > 0.8).sum(axis=1) - 1
    assert np.median(near) > 20  # company of one's own cluster
    assert np.percentile(near, 95) > 5 * np.percentile(near, 5)
    assert np.median(unit @ unit.T) < 0.3  # and most others are elsewhere
