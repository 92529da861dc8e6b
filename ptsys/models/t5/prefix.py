"""What a prompt puts into the layers of a T5, beside tokens before its input.

*Prefixes* are keys and values that attention reads before those of its own positions (Li & Liang
2021, section 4; Liu et al. 2022, section 3.2), for each layer its own. In self-attention they
stand where tokens before the row's first would stand: the last one at position -1, so that the
relative bias counts from there, as transformers does with a cache. Cross-attention has no
positions. *Soft tokens* before the decoder's input stand at the same positions
(google-research/prompt-tuning, `PromptDecoder`), and so do those before the encoder's.

All are right-aligned: padding lies on the left, is masked, and has to be finite.
Shape letters: see `ptsys.models.t5.layers`; N layers, P prefix or prompt positions.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from ptsys.sharding.mesh import MODEL, spread_over_model

KeysValues = tuple[Float[Array, "B _ H K"], Float[Array, "B _ H K"]]


class Prefix(NamedTuple):
    """Keys and values for every layer of a stack, and where there are any."""

    keys: Float[Array, "B P N HK"]
    values: Float[Array, "B P N HK"]
    mask: Bool[Array, "B P"]

    def layers(self, heads: int, dtype: DTypeLike) -> list[KeysValues]:
        """Each layer's, its heads spread over the `model` axis as the model's own are."""
        keys, values = (_by_layer(x, heads, dtype) for x in (self.keys, self.values))
        return list(zip(keys, values, strict=True))


class Deep(NamedTuple):
    """Prefixes of the encoder's self-attention, the decoder's, and of its cross-attention."""

    encoder: Prefix | None = None
    decoder: Prefix | None = None
    cross: Prefix | None = None


class SoftTokens(NamedTuple):
    """Embedded tokens that no vocabulary has, and where there are any."""

    values: Float[Array, "B P D"]
    mask: Bool[Array, "B P"]


def of_layers(
    prefix: Prefix | None, layers: int, heads: int, dtype: DTypeLike
) -> list[KeysValues | None]:
    """For each layer its keys and values, or None."""
    return [None] * layers if prefix is None else list(prefix.layers(heads, dtype))


def joined(prefix: KeysValues | None, own: KeysValues) -> KeysValues:
    """The prefix's keys and values, then a layer's own."""
    if prefix is None:
        return own
    key, value = (jnp.concatenate(pair, axis=1) for pair in zip(prefix, own, strict=True))
    return key, value


def joined_mask(prefix: Prefix | None, mask: Bool[Array, "B S"]) -> Bool[Array, "B PS"]:
    """Where the prefix has something, then where the positions have."""
    return mask if prefix is None else jnp.concatenate([prefix.mask, mask], axis=1)


def joined_places(prefix: Prefix | None, tokens: int, count: int) -> Int[Array, " PS"]:
    """Where keys stand, counted in columns: `count` of them, of which `tokens` are soft, so that
    the row's first stands at `tokens`; a prefix ends just before that one."""
    places = jnp.arange(count)
    if prefix is None:
        return places
    length = prefix.mask.shape[1]
    return jnp.concatenate([jnp.arange(length) + (tokens - length), places])


def _by_layer(
    x: Float[Array, "B P N HK"], heads: int, dtype: DTypeLike
) -> list[Float[Array, "B P H K"]]:
    """All layers' are spread at once and parted then: the gradient is one array put together, in
    place of an array of all layers for each of them, all added up."""
    split = x.astype(dtype).reshape(*x.shape[:-1], heads, -1)
    if spread_over_model() > 1 and heads % spread_over_model() == 0:
        split = jax.lax.with_sharding_constraint(
            split, PartitionSpec(None, None, None, MODEL, None)
        )
    return list(jnp.unstack(split, axis=2))
