"""The tests themselves: what a signature says of an array is checked, dtypes and ranks are too."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import TypeCheckError

from ptsys.kinds.batch import prompt_mask


@pytest.mark.parametrize(
    "length", [np.zeros((2, 3), np.int32), np.zeros(2, np.float32), jnp.zeros((), jnp.int32)]
)
def test_an_array_that_is_not_what_its_annotation_says_is_refused(
    length: np.ndarray | jax.Array,
) -> None:
    with pytest.raises(TypeCheckError, match="length"):
        prompt_mask(length, 4)


def test_an_array_on_the_host_and_one_on_the_device_are_taken() -> None:
    for length in (np.arange(3, dtype=np.int32), jnp.arange(3)):
        assert prompt_mask(length, 2).shape == (3, 2)


def test_dtypes_and_ranks_are_not_made_alike_in_silence() -> None:
    with pytest.raises(jax.dtypes.TypePromotionError, match="strict"):
        jnp.zeros(2, jnp.float32) * jnp.zeros(2, bool)
    with pytest.raises(ValueError, match="rank"):
        jnp.zeros((2, 2)) * jnp.zeros(2)
