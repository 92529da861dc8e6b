"""Jobs that train meta-prompts, and their tasks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import tiny_model
from worker_deployment import Deployment

from ptsys.types.example import Example
from ptsys.types.meta_training import MetaSpec
from ptsys.types.records import Job

TASKS = ("colours", "swapped", "numbers", "later")
ADAM = {"kind": "adamw", "learning_rate": 0.01}


def add_tasks(deployment: Deployment) -> None:
    """Beside `colours` tasks that answer the same rows otherwise."""
    answers = {
        "swapped": {"red": "blue", "blue": "red"},
        "numbers": {"red": "one", "blue": "two"},
        "later": {"red": "stone", "blue": "river"},
    }
    for seed, (name, words) in enumerate(answers.items()):
        rows = tiny_model.rows(30, seed=seed)
        deployment.add_rows(name, [Example(x.input, words[x.target or ""]) for x in rows])


def submit(deployment: Deployment, name: str, tasks: Iterable[Any] = TASKS, **spec: Any) -> Job:
    values = {
        "name": name,
        "model": tiny_model.NAME,
        "tasks": [{"name": one, "dataset": one} if isinstance(one, str) else one for one in tasks],
        "steps": 30,
        "length": 4,
        "examples": 4,
        "tasks_per_step": 2,
        "batch_size": 8,
        "held_out": 1,
        "evaluate_every": 10,
        "checkpoint_every": 10,
        "optimizer": ADAM,
    }
    return deployment.service.submit(MetaSpec.model_validate({**values, **spec}), "ann")
