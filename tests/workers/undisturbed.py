"""Jobs long enough to be killed in, and what they give when nobody disturbs them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from worker_deployment import ADAFACTOR

from ptsys.types.training import Optimizer

LONG: dict[str, Any] = {
    "steps": 800,
    "batch_size": 64,
    "checkpoint_every": 40,
    "optimizer": ADAFACTOR,
}
"""Several seconds of training: time enough to be killed in."""

COMPANY: dict[str, dict[str, Any]] = {
    "ann": {**LONG, "steps": 300, "optimizer": Optimizer(kind="sgd", learning_rate=0.5)},
    "bob": {**LONG, "steps": 300, "optimizer": Optimizer(kind="adamw", learning_rate=0.01)},
    "eve": {**LONG, "steps": 300, "length": 5, "optimizer": ADAFACTOR},
}


@dataclasses.dataclass(frozen=True)
class Undisturbed:
    """What jobs give that run alone and to their end: of LONG, and of each of COMPANY."""

    long: np.ndarray
    company: dict[str, np.ndarray]
