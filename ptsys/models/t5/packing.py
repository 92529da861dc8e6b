"""Positions of many rows side by side, without the padding between them.

All that an encoder does to one position at a time, norms, projections and feed-forward, it does
to packed positions, so that ragged rows cost what their positions cost; only attention sees rows
padded to one length (as ByteTransformer does, Zhai et al. 2023, section 3.2).
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


class Packing(NamedTuple):
    """Where padded positions lie among N packed ones (N: nowhere), where each packed one comes
    from among the B x S padded (B x S: from none), and whether the second half of the rows has
    any: it has not where rows fill their positions."""

    packed: Int[Array, "B S"]
    padded: Int[Array, " N"]
    second: Bool[Array, ""]

    def pack(self, x: Float[Array, "B S *rest"]) -> Float[Array, " N *rest"]:
        """The real positions of padded rows, side by side, then zeros."""
        return _take(x.reshape(-1, *x.shape[2:]), self.padded, self.packed.reshape(-1))

    def unpack(self, x: Float[Array, " N *rest"]) -> Float[Array, "B S *rest"]:
        """Padded rows again, zeros where nothing is."""
        flat = _take(x, self.packed.reshape(-1), self.padded)
        return flat.reshape(*self.packed.shape, *x.shape[1:])


def packing(mask: Bool[Array, "B S"], capacity: int) -> Packing:
    """How the positions where `mask` is true are packed. There must be no more than `capacity`
    of them: what is beyond is lost."""
    flat = mask.reshape(-1)
    number = jnp.cumsum(flat.astype(jnp.int32)) - 1
    packed = jnp.where(flat & (number < capacity), number, capacity)
    padded = jnp.nonzero(flat, size=capacity, fill_value=flat.size)[0]
    return Packing(
        packed.reshape(mask.shape).astype(jnp.int32),
        padded.astype(jnp.int32),
        jnp.any(mask[mask.shape[0] // 2 :]),
    )


@jax.custom_vjp
def _take(
    x: Float[Array, " M *rest"], index: Int[Array, " K"], back: Int[Array, " M"]
) -> Float[Array, " K *rest"]:
    """`x[index]`, zeros where out of range. `back` is the inverse of `index`, so that the
    gradient is a gather as well, and no scatter."""
    return x.at[index].get(mode="fill", fill_value=0)


def _take_forward(
    x: jax.Array, index: jax.Array, back: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _take(x, index, back), (index, back)


def _take_backward(
    saved: tuple[jax.Array, jax.Array], cotangent: jax.Array
) -> tuple[jax.Array, None, None]:
    index, back = saved
    return _take(cotangent, back, index), None, None


_take.defvjp(_take_forward, _take_backward)
