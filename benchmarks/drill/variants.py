"""The jobs that users of the drill ask for: few kinds, so that each has a reference."""

from __future__ import annotations

from typing import Any

import tiny_model

from ptsys.types.example import Example

DATASETS: dict[str, list[Example]] = {
    "colours": tiny_model.rows(48, seed=1),
    "tones": tiny_model.rows(32, seed=2),
}

_SINGLE = {"model": tiny_model.NAME, "dataset": "colours", "length": 8, "batch_size": 16}
_ADAFACTOR = {"kind": "adafactor", "learning_rate": 0.3}

VARIANTS: dict[str, dict[str, Any]] = {
    "short": {**_SINGLE, "steps": 60, "checkpoint_every": 20, "optimizer": _ADAFACTOR},
    "long": {**_SINGLE, "steps": 500, "checkpoint_every": 40, "seed": 1, "optimizer": _ADAFACTOR},
    "adam": {
        **_SINGLE,
        "steps": 300,
        "checkpoint_every": 40,
        "seed": 2,
        "dataset": "tones",
        "optimizer": {"kind": "adamw", "learning_rate": 0.01},
    },
    "scored": {
        **_SINGLE,
        "steps": 300,
        "checkpoint_every": 50,
        "evaluate_every": 100,
        "validation": "tones",
        "seed": 3,
        "optimizer": {"kind": "sgd", "learning_rate": 0.5},
    },
    "several": {
        "kind": "multitask",
        "model": tiny_model.NAME,
        "tasks": [{"name": name, "dataset": name} for name in DATASETS],
        "steps": 60,
        "length": 6,
        "task_length": 4,
        "batch_size": 16,
        "checkpoint_every": 10,
        "optimizer": _ADAFACTOR,
    },
}

WEIGHTS = {"short": 4, "long": 4, "adam": 3, "scored": 2, "several": 1}

QUESTION = ["red river stone", "cold table music", "north paper winter"]
LABELS = ["red", "blue"]


def endings(variant: str) -> list[str]:
    """The ends of the names of the prompts that such a job makes, its own first."""
    if "tasks" not in VARIANTS[variant]:
        return [""]
    return ["", *(f".{task['name']}" for task in VARIANTS[variant]["tasks"])]
