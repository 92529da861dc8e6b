"""A small model and a case of it that compiles in seconds."""

from __future__ import annotations

import dataclasses
from typing import Any

from ptsys.models.execution import Execution
from ptsys.models.t5.config import T5Config
from ptsys.plan.case import Case

CONFIG = T5Config(
    vocab_size=512,
    d_model=128,
    num_heads=4,
    head_dim=32,
    d_ff=320,
    encoder_layers=2,
    decoder_layers=2,
)


def case(**changes: Any) -> Case:
    """16 rows of 4 users on eight chips, 2 x 4."""
    made = Case(
        config=CONFIG,
        topology="v5e:2x4",
        step="gradients",
        rows=32,
        users=4,
        data=2,
        model=4,
        inputs=24,
        prompt=8,
        targets=8,
        dtype="float32",
    )
    return dataclasses.replace(made, **changes)


def at_a_time(rows: int, **changes: Any) -> Execution:
    """Chunks of so many rows of such a case."""
    return Execution(chunk_positions=rows * 32, **changes)
