"""Tune one general and several task-specific prompts together, in plain numpy.

    python examples/multitask_loop.py first/train.jsonl second/train.jsonl third/train.jsonl

Every task's rows are answered under its own combination [general; task]. Needs a service
(`ptsys up`) and PTSYS_API_KEY; PTSYS_URL where it is not on this machine.
"""

import sys

import numpy as np
from numpy.typing import NDArray

import ptsys
from ptsys.client import Example, combine, read_rows, split_gradient

GENERAL, SPECIFIC, BATCH, STEPS, LEARNING_RATE = 12, 4, 16, 100, 0.1

Array = NDArray[np.float32]


class Adagrad:
    """Duchi et al. 2011, for one array."""

    def __init__(self, like: Array) -> None:
        self._sum = np.full_like(like, 1e-12)

    def step(self, value: Array, gradient: Array) -> Array:
        """The array after one update."""
        self._sum += gradient**2
        return np.asarray(value - LEARNING_RATE * gradient / np.sqrt(self._sum), np.float32)


def tune(
    client: ptsys.Client,
    general: Array,
    specific: list[Array],
    tasks: list[list[Example]],
    steps: int,
    model: str = "tiny",
) -> tuple[Array, list[Array], list[float]]:
    """The general prompt, every task's own, and the mean loss over the tasks before each step."""
    draw = np.random.default_rng(0)
    specific = list(specific)
    of_general, of_task = Adagrad(general), [Adagrad(prompt) for prompt in specific]
    losses = []
    for _ in range(steps):
        shared, found_losses = np.zeros_like(general), []
        for number, rows in enumerate(tasks):
            batch = [rows[i] for i in draw.integers(len(rows), size=BATCH)]
            found = client.gradients(combine(general, specific[number]), batch, model=model)
            split = split_gradient(found.gradient, general, specific[number])
            shared += split.general / len(tasks)
            assert split.task is not None
            specific[number] = of_task[number].step(specific[number], split.task)
            found_losses.append(found.loss)
        general = of_general.step(general, shared)
        losses.append(float(np.mean(found_losses)))
    return general, specific, losses


def main(*files: str) -> None:
    """Tune on all files at once."""
    with ptsys.Client() as client:
        width = client.models.get("tiny").d_model
        draw = np.random.default_rng(0)

        def start(length: int) -> Array:
            return draw.normal(scale=0.5, size=(length, width)).astype(np.float32)

        tasks = [read_rows(file) for file in files]
        general, specific, losses = tune(
            client, start(GENERAL), [start(SPECIFIC) for _ in tasks], tasks, STEPS
        )
        print(f"mean loss: {losses[0]:.3f} at first, {losses[-1]:.3f} at last")
        for file, prompt, rows in zip(files, specific, tasks, strict=True):
            print(file, client.evaluate(combine(general, prompt), rows[:200]))


if __name__ == "__main__":
    main(*sys.argv[1:])
