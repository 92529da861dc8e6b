"""Encodings of rows are means of the encoder's outputs over the rows' own positions."""

from __future__ import annotations

import numpy as np
from numpy_t5 import Reference
from text_passes import encode
from tiny_batches import WIDTH, prompts, rows

from ptsys.passes.frozen import Frozen


def test_an_encoding_is_the_mean_over_the_inputs_real_positions(
    frozen: Frozen, reference: Reference
) -> None:
    own, some = prompts([3, 0, 1], 3), rows([0, 1, 2, 0, 99, 2])
    found = encode(frozen, own, some)
    assert found.shape == (6, WIDTH)
    assert found.dtype == np.float32
    assert not np.any(found[4])  # a row of padding
    for row in (0, 1, 2, 3, 5):
        length = int(own.length[some.slot[row]])
        prompt, inputs = own.values[some.slot[row]][3 - length :], some.inputs[row]
        memory = reference.memory(prompt, inputs[inputs > 0])
        np.testing.assert_allclose(found[row], memory[length:].mean(axis=0), atol=1e-5)
