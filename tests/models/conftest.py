"""Small random models of both kinds."""

import dataclasses
from collections.abc import Callable

import jax
import numpy as np
import pytest

from ptsys.models.t5.config import T5Config
from ptsys.models.t5.network import T5, create

T5_1_1 = T5Config(
    vocab_size=96,
    d_model=32,
    num_heads=4,
    head_dim=8,
    d_ff=48,
    encoder_layers=3,
    decoder_layers=2,
)
T5_1_0 = dataclasses.replace(T5_1_1, activation="relu", gated=False, tie_embeddings=True)


@pytest.fixture(scope="session", params=[T5_1_1, T5_1_0], ids=["t5_1_1", "t5_1_0"])
def config(request: pytest.FixtureRequest) -> T5Config:
    return request.param


@pytest.fixture(scope="session")
def model(config: T5Config) -> T5:
    return create(config, seed=1)


@pytest.fixture(scope="session")
def logits() -> Callable[[T5], np.ndarray]:
    """Teacher-forced logits of fixed rows of different lengths."""
    inputs = np.array([[5, 9, 60, 3, 1], [70, 8, 1, 0, 0], [1, 0, 0, 0, 0]])
    targets = np.array([[7, 4, 1], [90, 1, 0], [33, 2, 1]])

    @jax.jit
    def run(model: T5) -> jax.Array:
        return model.decode(model.encode(inputs), targets)

    return lambda model: np.asarray(run(model))
