"""Distances of written prompts from tuned ones, against formulas of scipy and numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import ive

from ptsys.prompts.distance import TERMS, distances, log_normalizer


def log_bessel(order: float, x: np.ndarray) -> np.ndarray:
    return np.log(ive(order, x)) + x


@pytest.mark.parametrize("width", [64, 128, 512])
def test_the_normalizer_is_that_of_von_mises_and_fisher(width: int) -> None:
    k = np.linspace(0.3, 3, 12) * width
    exact = log_bessel(width / 2 - 1, k) - (width / 2 - 1) * np.log(k)
    own = np.asarray(log_normalizer(jnp.asarray(k, jnp.float32), width))
    np.testing.assert_allclose(own - own[0], exact - exact[0], rtol=3e-3)
    ratio = np.exp(log_bessel(width / 2, k) - log_bessel(width / 2 - 1, k))  # of Bessel functions
    slope = jax.vmap(jax.grad(lambda x: log_normalizer(x, width)))(jnp.asarray(k, jnp.float32))
    np.testing.assert_allclose(slope, ratio, rtol=2e-3)


def test_each_kind_is_its_formula() -> None:
    draw = np.random.default_rng(0)
    one, two = (draw.normal(size=(3, 4, 64)).astype(np.float32) for _ in range(2))
    found = dict(zip(TERMS, np.asarray(distances(one, two)).T, strict=True))
    lengths = [np.linalg.norm(x, axis=-1) for x in (one, two)]
    cosine = np.sum(one * two, -1) / lengths[0] / lengths[1]
    np.testing.assert_allclose(found["l2"], np.mean((one - two) ** 2, (1, 2)), rtol=1e-5)
    np.testing.assert_allclose(found["cosine"], np.mean(1 - cosine, 1), rtol=1e-4)
    np.testing.assert_allclose(
        found["length"], np.mean(np.log(lengths[0] / lengths[1]) ** 2, 1), rtol=1e-3
    )
    k = lengths[0] * 8  # the root of the width
    likelihood = (log_bessel(31, k) - 31 * np.log(k) - k * cosine) / 64
    other = distances(two, one)[:, TERMS.index("vmf")]
    k2 = lengths[1] * 8
    mirrored = (log_bessel(31, k2) - 31 * np.log(k2) - k2 * cosine) / 64
    own = found["vmf"] - np.asarray(other)  # without the constant
    np.testing.assert_allclose(own, np.mean(likelihood - mirrored, 1), atol=2e-3)


def test_a_written_prompt_of_no_length_has_a_finite_gradient() -> None:
    zero = jnp.zeros((1, 2, 64))
    tuned = jnp.ones((1, 2, 64))
    slope = jax.jacobian(lambda x: distances(x, tuned)[0])(zero)
    assert np.isfinite(np.asarray(slope)).all()
