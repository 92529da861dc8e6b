"""Tune a prompt with an optax optimizer: the updates of the service's own Adafactor jobs.

    python examples/optax_loop.py train.jsonl test.jsonl

Needs optax, a service (`ptsys up`) and PTSYS_API_KEY; PTSYS_URL where it is not on this machine.
"""

import sys

import numpy as np
import optax
from numpy.typing import NDArray

import ptsys
from ptsys.client import BatchOrder, Example, read_rows

LENGTH, BATCH, STEPS, LEARNING_RATE = 16, 16, 150, 0.3


def adafactor(learning_rate: float) -> optax.GradientTransformation:
    """Adafactor as the service's jobs have it (Shazeer & Stern 2018, without factoring)."""
    return optax.adafactor(
        learning_rate,
        factored=False,
        decay_rate=0.8,
        clipping_threshold=1.0,
        multiply_by_parameter_scale=False,
    )


def tune(
    client: ptsys.Client,
    prompt: NDArray[np.float32],
    rows: list[Example],
    steps: int,
    *,
    optimizer: optax.GradientTransformation | None = None,
    batch_size: int = BATCH,
    seed: int = 0,
    model: str | None = None,
) -> tuple[NDArray[np.float32], list[float]]:
    """Tune on the batches a job of that seed would see; also the loss before each step."""
    order = BatchOrder(len(rows), batch_size, seed)
    chosen = optimizer or adafactor(LEARNING_RATE)
    state = chosen.init(prompt)
    losses = []
    for step in range(steps):
        batch = [rows[i] for i in order.indices(step)]
        found = client.gradients(prompt, batch, model=model)
        updates, state = chosen.update(found.gradient, state, prompt)
        prompt = np.asarray(optax.apply_updates(prompt, updates))
        losses.append(found.loss)
        if (step + 1) % 25 == 0:
            print(f"step {step + 1}: loss {np.mean(losses[-25:]):.3f}")
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
