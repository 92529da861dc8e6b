"""The prompt's gradient is the derivative of the loss, and the loss is cross-entropy."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from double_precision import DoublePrecision
from numpy_t5 import Reference
from text_passes import Prompts, gradients
from tiny_batches import prompts, rows

from ptsys.kinds import batch
from ptsys.models.t5 import attention, kind, layers, network
from ptsys.passes.frozen import Frozen


@pytest.mark.filterwarnings("ignore:scatter inputs have incompatible types:FutureWarning")
def test_gradients_equal_central_differences_in_float64(
    frozen: Frozen, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (attention, layers, network, batch, kind):
        monkeypatch.setattr(module, "jnp", DoublePrecision("jnp"))
    own, some = prompts([2, 0, 3], 3), rows([0, 1, 2, 0, 2, 9])
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        leaves = tuple(jnp.asarray(np.asarray(x), jnp.float64) for x in frozen.leaves)
        double = Frozen(leaves, frozen.structure)
        values = own.values.astype(np.float64)
        z_loss = np.array([1e-2, 0.5, 0.3])
        found = gradients(double, Prompts(jnp.asarray(values), own.length), some, z_loss)
        assert found.values.dtype == jnp.float64
        step = 1e-5
        numeric = np.zeros_like(values)
        for index in np.ndindex(values.shape):
            sides = []
            for sign in (1, -1):
                moved = values.copy()
                moved[index] += sign * step
                moved_prompts = Prompts(jnp.asarray(moved), own.length)
                sides.append(np.asarray(gradients(double, moved_prompts, some, z_loss).loss))
            numeric[index] = (sides[0] - sides[1])[index[0]] / (2 * step)
    scale = np.abs(numeric).max()
    assert scale > 1e-2
    np.testing.assert_allclose(np.asarray(found.values), numeric, rtol=0, atol=1e-6 * scale)


def test_losses_are_mean_cross_entropy_over_each_users_tokens(
    frozen: Frozen, reference: Reference
) -> None:
    own, some = prompts([3, 2, 1], 3), rows([0, 1, 2, 0, 1, 0])
    z_loss = np.array([0, 0.1, 0.3], np.float32)
    found = gradients(frozen, own, some, z_loss)
    total, tokens = np.zeros(3), np.zeros(3)
    for row, slot in enumerate(some.slot):
        targets = some.targets[row][some.targets[row] > 0]
        logits = reference.row_logits(own, slot, some.inputs[row], targets)
        log_z = np.log(np.exp(logits).sum(-1))
        chosen = logits[np.arange(len(targets)), targets]
        mine = (log_z - chosen + z_loss[slot] * log_z**2).sum()
        np.testing.assert_allclose(found.row_loss[row], mine / len(targets), rtol=1e-5)
        np.testing.assert_array_equal(found.predicted[row, : len(targets)], logits.argmax(-1))
        assert not np.any(found.predicted[row, len(targets) :])
        total[slot] += mine
        tokens[slot] += len(targets)
    np.testing.assert_allclose(found.loss, total / tokens, rtol=1e-5)
    np.testing.assert_array_equal(found.tokens, tokens)
