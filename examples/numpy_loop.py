"""Tune a prompt with an optimizer written in plain numpy; the model stays with the service.

    python examples/numpy_loop.py train.jsonl test.jsonl

Needs a service (`ptsys up`) and PTSYS_API_KEY; PTSYS_URL where it is not on this machine.
"""

import sys

import numpy as np
from numpy.typing import NDArray

import ptsys
from ptsys.client import Example, read_rows

LENGTH, BATCH, STEPS, LEARNING_RATE = 16, 16, 150, 0.1
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


def tune(
    client: ptsys.Client,
    prompt: NDArray[np.float32],
    rows: list[Example],
    steps: int,
    model: str = "tiny",
) -> tuple[NDArray[np.float32], list[float]]:
    """Adam (Kingma & Ba 2015) on the prompt [length, d_model]; also the loss before each step."""
    draw = np.random.default_rng(0)
    first, second = np.zeros_like(prompt), np.zeros_like(prompt)
    losses = []
    for step in range(1, steps + 1):
        batch = [rows[i] for i in draw.integers(len(rows), size=BATCH)]
        found = client.gradients(prompt, batch, model=model)
        first = BETA1 * first + (1 - BETA1) * found.gradient
        second = BETA2 * second + (1 - BETA2) * found.gradient**2
        scale = np.sqrt(second / (1 - BETA2**step)) + EPSILON
        prompt = prompt - LEARNING_RATE * (first / (1 - BETA1**step)) / scale
        losses.append(found.loss)
        if step % 25 == 0:
            print(f"step {step}: loss {np.mean(losses[-25:]):.3f}")
    return prompt, losses


def main(train: str, test: str) -> None:
    """Tune on one file and score on another."""
    with ptsys.Client() as client:
        width = client.models.get("tiny").d_model
        start = np.random.default_rng(0).normal(scale=0.5, size=(LENGTH, width))
        prompt, _ = tune(client, start.astype(np.float32), read_rows(train), STEPS)
        print(client.evaluate(prompt, read_rows(test)))


if __name__ == "__main__":
    main(*sys.argv[1:])
