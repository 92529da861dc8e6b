"""The arrays a pass works on.

Shape letters: U prompt slots, P prompt positions, D d_model, B rows, L input positions,
T target positions.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Shaped


class Prompts(NamedTuple):
    """Prompts of several users. Each is right-aligned: padding lies on its left, where the
    relative positions between prompt and input do not see it."""

    values: Float[Array, "U P D"]
    length: Int[Array, " U"]


class Rows(NamedTuple):
    """Rows of several users. `slot` names each row's prompt; a row whose slot is out of range
    (negative, or U and more) is padding: it reads zeros and its gradient goes nowhere."""

    inputs: Int[Array, "B L"]
    targets: Int[Array, "B T"]
    slot: Int[Array, " B"]


def prompt_mask(length: Int[Array, " U"], width: int) -> Bool[Array, "U P"]:
    """True where a right-aligned prompt of `length` has a token."""
    return jnp.arange(width)[None, :] >= width - length[:, None]


def gather_prompts(
    prompts: Prompts, slot: Int[Array, " B"]
) -> tuple[Float[Array, "B P D"], Bool[Array, "B P"]]:
    """Each row's prompt and its mask. Its transpose adds every row's gradient to its own slot
    and to no other, so users cannot reach one another."""
    mask = prompt_mask(prompts.length, prompts.values.shape[1])
    values = jnp.where(mask[:, :, None], prompts.values, 0)
    return take_slots(values, slot, 0), take_slots(mask, slot, False)


def take_slots(
    x: Shaped[Array, " U *rest"], slot: Int[Array, " B"], fill: float
) -> Shaped[Array, " B *rest"]:
    """`x[slot]`, with `fill` where the slot is out of range: a negative slot must not wrap round
    to another user's."""
    return x.at[slot].get(mode="fill", fill_value=fill, wrap_negative_indices=False)


def real_rows(slot: Int[Array, " B"], slots: int) -> Bool[Array, " B"]:
    """False for padding rows."""
    return (slot >= 0) & (slot < slots)
