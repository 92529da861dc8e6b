"""What a case needs, guessed from shapes, to choose what is worth compiling.

The pieces are those found live in the compiled XXL step (docs/plan.md). What is reported is always
the compiler's.
"""

from __future__ import annotations

import math

from ptsys.models.execution import even_blocks
from ptsys.models.parameters import parameter_count
from ptsys.plan.case import MEANS, Case
from ptsys.plan.roofline import NUMBER_BYTES

_WHOLE_AT_ONCE = 5  # hidden states in flight beside those saved, one of them float32


def memory(case: Case) -> float:
    """Bytes on one chip."""
    return _weights(case) + _slots(case) + _activations(case)


def sent_bytes(case: Case) -> float:
    """Bytes that a chip sends: hidden states summed over the model axis, after both halves of an
    encoder layer and all three of a decoder layer, forward and backward; of what is computed again
    the last is not wanted."""
    if case.model == 1:
        return 0.0
    config = case.config
    halves = 2 * config.encoder_layers * case.positions + 3 * config.decoder_layers * case.targets
    numbers = halves
    if case.learns:
        numbers += halves + config.decoder_layers * case.positions  # the memory's gradients
    if case.learns and case.execution.remat == "layer":
        numbers += config.encoder_layers * case.positions + 2 * config.decoder_layers * case.targets
    shown = 3 * 2 * config.encoder_layers * case.shown_positions * case.shown_rows / case.data
    ring = 2 * (case.model - 1) / case.model
    sent = numbers * case.shard_rows + shown
    return ring * sent * config.d_model * NUMBER_BYTES[case.dtype]


def _weights(case: Case) -> float:
    return parameter_count(case.config) * NUMBER_BYTES[case.dtype] / case.model


def _slots(case: Case) -> float:
    """Prompts, their gradients or their optimizer's moments, in float32."""
    copies = 4 if case.step in ("train", "meta") else 3
    users, width = case.users / case.data if case.learns else case.users, case.config.d_model
    if case.step == "meta":
        generator = sum(map(math.prod, case.generator_shapes.values())) / case.model
        maps = (MEANS + 2) * width * width + generator
        return 4.0 * users * (copies * maps + 2 * case.tasks * case.prompt * width)
    return 4.0 * copies * users * case.prompt * width


def _activations(case: Case) -> float:
    """Of one chunk of rows."""
    config, size = case.config, NUMBER_BYTES[case.dtype]
    s, hidden = case.positions, case.positions * config.d_model * size
    _, queries = even_blocks(s, case.execution.attention_block)
    scores = 0 if case.kernel_attends else queries * s * config.num_heads / case.model * 4
    gates = 2 if config.gated else 1
    split = s * (3 * config.inner_dim + gates * config.d_ff) / case.model * size
    if not case.learns:
        cross = 2 * s * config.inner_dim / case.model * size * config.decoder_layers
        return case.chunk * (_WHOLE_AT_ONCE * hidden + scores + split + cross)
    saved = {"none": 2 * hidden + scores + split, "dots": 2 * hidden + split, "layer": hidden}
    one = 2 * hidden + scores + split  # the layer that is being gone back through
    each = saved[case.execution.remat] * config.encoder_layers
    each += hidden * config.decoder_layers  # the memory's gradients wait for one another
    return case.chunk * (each + one + _WHOLE_AT_ONCE * hidden)
