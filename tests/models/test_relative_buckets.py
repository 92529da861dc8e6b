"""Relative position buckets against whole-number arithmetic, where no logarithm can round."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ptsys.models.t5.layers import relative_buckets


def reference(relative: int, *, bidirectional: bool, buckets: int, max_distance: int) -> int:
    """Hugging Face's `_relative_position_bucket`, its log inequality raised to whole powers:
    log(d/e) / log(m/e) * n >= k  is  d^n * e^k >= e^n * m^k."""
    offset = 0
    if bidirectional:
        buckets //= 2
        offset = buckets if relative > 0 else 0
        distance = abs(relative)
    else:
        distance = max(-relative, 0)
    exact = buckets // 2
    if distance < exact:
        return offset + distance
    n, k = buckets - exact, 0
    while k + 1 < n and distance**n * exact ** (k + 1) >= exact**n * max_distance ** (k + 1):
        k += 1
    return offset + exact + k


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(("buckets", "max_distance"), [(32, 128), (4, 8)])
def test_buckets_equal_exact_arithmetic(
    bidirectional: bool, buckets: int, max_distance: int
) -> None:
    kwargs = {"bidirectional": bidirectional, "buckets": buckets, "max_distance": max_distance}
    relative = np.arange(-2000, 2001)
    expected = [reference(int(x), **kwargs) for x in relative]

    def run(x: jax.Array) -> jax.Array:
        return relative_buckets(x, **kwargs)

    for call in (run, jax.jit(run)):
        found = call(jnp.asarray(relative)[None, :])[0]
        np.testing.assert_array_equal(found, expected)
