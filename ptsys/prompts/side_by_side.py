"""What stands side by side in a written prompt, in traced code."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


def last_real(
    slots: Float[Array, "V S D"], real: Bool[Array, "V S"], width: int
) -> tuple[Float[Array, "V W D"], Int[Array, " V"]]:
    """The last `width` of the slots that are real, in their order and right-aligned, and how many
    these are."""
    order = jnp.argsort(real, axis=1, stable=True)[:, real.shape[1] - width :]
    side = jnp.take_along_axis(slots, order[:, :, None], axis=1)
    return side, jnp.minimum(jnp.sum(real, axis=1), width).astype(jnp.int32)
