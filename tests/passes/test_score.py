"""Scores of given targets are sums of log-softmax."""

from __future__ import annotations

import numpy as np
from numpy_t5 import Reference, log_softmax
from text_passes import score
from tiny_batches import prompts, rows

from ptsys.passes.frozen import Frozen


def test_a_score_is_the_summed_log_softmax_of_the_targets(
    frozen: Frozen, reference: Reference
) -> None:
    own, some = prompts([3, 0, 1], 3), rows([0, 1, 2, 0, 1, 2])
    some.targets[3] = 0  # nothing to score
    some.targets[4] = [1, 0, 0, 0]  # only the end
    found = score(frozen, own, some)
    for row, slot in enumerate(some.slot):
        targets = some.targets[row][some.targets[row] > 0]
        expected = 0.0
        if len(targets):
            logits = reference.row_logits(own, slot, some.inputs[row], targets)
            expected = log_softmax(logits)[np.arange(len(targets)), targets].sum()
        np.testing.assert_allclose(found.log_probability[row], expected, rtol=1e-5)
        assert found.tokens[row] == len(targets)
