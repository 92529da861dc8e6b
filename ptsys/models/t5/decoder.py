"""The decoder of a T5: all positions at once, or a step at a time.

Shape letters: see `ptsys.models.t5.layers`; P prefix or prompt positions, F those before step 0.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from ptsys.models.execution import Execution
from ptsys.models.t5 import layers
from ptsys.models.t5.attention import Bias, bias_in_blocks, mask_bias
from ptsys.models.t5.config import T5Config
from ptsys.models.t5.layers import Attention, Dense, FeedForward, RelativeBias, RMSNorm
from ptsys.models.t5.packing import Packing
from ptsys.models.t5.prefix import (
    Deep,
    KeysValues,
    Prefix,
    SoftTokens,
    joined,
    joined_mask,
    joined_places,
    of_layers,
)
from ptsys.sharding.mesh import copied_over_model


class Memory(NamedTuple):
    """What a few queries attend to without keys and values, in copies for shares of the heads, its
    mask as a bias, and a prefix that the bias also counts: see `Attention.attend_memory`."""

    values: Float[Array, "G B S D"]
    bias: Float[Array, "B 1 1 PS"]
    prefix: KeysValues | None = None


Cross = KeysValues | Memory
"""What a decoder layer reads of the encoded input."""


_Repeated = tuple[Float[Array, "R _ H K"], Float[Array, "R _ H K"]] | Memory


def repeat_rows(cross: Cross, times: int) -> _Repeated:
    """Every row as often, one after another: R rows."""
    if isinstance(cross, Memory):
        values, bias, prefix = cross
        return Memory(
            jnp.repeat(values, times, axis=1),
            jnp.repeat(bias, times, axis=0),
            None if prefix is None else repeat_keys_values(prefix, times),
        )
    return repeat_keys_values(cross, times)


def repeat_keys_values(
    both: KeysValues, times: int
) -> tuple[Float[Array, "R _ H K"], Float[Array, "R _ H K"]]:
    """Every row as often, one after another: R rows."""
    key, value = both
    return jnp.repeat(key, times, axis=0), jnp.repeat(value, times, axis=0)


class Past(NamedTuple):
    """What decoding a step at a time finds before its first step: keys and values of every layer,
    of a prefix and of soft tokens, where there are any, and the columns that they stand at, of
    which the first step's is 0."""

    cache: list[KeysValues]
    mask: Bool[Array, "B F"]
    places: Int[Array, " F"]


class Encoded(NamedTuple):
    """What the decoder sees of a row: padded rows [B, S, D], or packed positions [N, D]."""

    memory: Float[Array, "*S D"]
    mask: Bool[Array, "B S"]
    packing: Packing | None = None


class DecoderLayer(nnx.Module):
    """Causal self-attention, cross-attention and feed-forward."""

    def __init__(self, rngs: nnx.Rngs, config: T5Config) -> None:
        self.pre_self_attention_layer_norm = RMSNorm(config)
        self.self_attention = Attention(rngs, config)
        self.pre_cross_attention_layer_norm = RMSNorm(config)
        self.encoder_decoder_attention = Attention(rngs, config)
        self.pre_mlp_layer_norm = RMSNorm(config)
        self.mlp = FeedForward(rngs, config)

    def after_self_attention(
        self,
        x: Float[Array, "B T D"],
        cross: Cross,
        cross_bias: Bias,
    ) -> Float[Array, "B T D"]:
        """Cross-attention and feed-forward on the self-attended `x`."""
        normed, attention = self.pre_cross_attention_layer_norm(x), self.encoder_decoder_attention
        if isinstance(cross, Memory):
            x = x + attention.attend_memory(normed, cross.values, cross.bias, cross.prefix)
        else:
            x = x + attention.attend(normed, *cross, cross_bias)
        return x + self.mlp(self.pre_mlp_layer_norm(x))


class Decoder(nnx.Module):
    """A stack of decoder layers; teacher-forced over all positions, or one step with a cache."""

    def __init__(self, rngs: nnx.Rngs, config: T5Config) -> None:
        self.relpos_bias = RelativeBias(rngs, config, bidirectional=False)
        self.config = config
        self.num_layers = config.decoder_layers
        for i in range(config.decoder_layers):
            setattr(self, f"layers_{i}", DecoderLayer(rngs, config))
        self.decoder_norm = RMSNorm(config)
        if not config.tie_embeddings:
            self.logits_dense = Dense(
                rngs, config.d_model, config.vocab_size, ("embed", "vocab"), config.d_model**-0.5
            )

    def layers(self) -> list[DecoderLayer]:
        """The layers in order."""
        return [getattr(self, f"layers_{i}") for i in range(self.num_layers)]

    def cross(self, encoded: Encoded, queries: int, prefix: Prefix | None = None) -> list[Cross]:
        """What every layer reads of the prefix and the encoded input, computed once a request:
        keys and values, or where so few `queries` come in all that these cost more, the memory
        itself."""
        memory, mask, packing = encoded
        attentions = [layer.encoder_decoder_attention for layer in self.layers()]
        heads = self.config.num_heads
        prefixes = of_layers(prefix, self.num_layers, heads, memory.dtype)
        if layers.reads_memory(self.config, queries, mask.shape[1]):
            rows = memory if packing is None else packing.unpack(memory)
            copies = copied_over_model(rows, heads)
            seen = joined_mask(prefix, mask)
            return [Memory(copies, mask_bias(seen)[:, None, None, :], x) for x in prefixes]
        copies = copied_over_model(memory, heads)
        return [
            joined(before, attention.copies_keys_values(copies, packing))
            for attention, before in zip(attentions, prefixes, strict=True)
        ]

    def __call__(
        self,
        x: Float[Array, "B T D"],
        encoded: Encoded,
        execution: Execution,
        deep: Deep | None = None,
        tokens: Bool[Array, "B P"] | None = None,
    ) -> Float[Array, "B T D"]:
        """Decode all positions at once, teacher-forced. `tokens` says which of the first positions
        of `x` are soft tokens; the others of those are padding."""
        deep = deep or Deep()
        count = x.shape[1]
        own = self._own_bias(count, deep.decoder, tokens)
        masked = mask_bias(joined_mask(deep.cross, encoded.mask))[:, None, None, :]
        bias = bias_in_blocks(own, count, execution.attention_block)
        cross_bias = bias_in_blocks(lambda queries: masked, count, execution.attention_block)

        def decoded(
            layer: DecoderLayer,
            x: Float[Array, "B T D"],
            source: Cross,
            prefix: KeysValues | None,
        ) -> Float[Array, "B T D"]:
            normed = layer.pre_self_attention_layer_norm(x)
            x = x + layer.self_attention(normed, bias, None, prefix)
            return layer.after_self_attention(x, source, cross_bias)

        # Outside of what is computed again, so that the memory has one gradient, not one a layer.
        cross = self.cross(encoded, count, deep.cross)
        prefixes = of_layers(deep.decoder, self.num_layers, self.config.num_heads, x.dtype)
        for layer, source, prefix in zip(self.layers(), cross, prefixes, strict=True):
            x = execution.layer(functools.partial(decoded, layer))(x, source, prefix)
        return self.decoder_norm(x)

    def _own_bias(
        self, count: int, prefix: Prefix | None, tokens: Bool[Array, "B P"] | None
    ) -> Callable[[Int[Array, " q"]], Float[Array, "#B #H q PT"]]:
        """That of self-attention of positions on the prefix, soft tokens and those before them."""
        positions = jnp.arange(count)
        if prefix is None and tokens is None:

            def own(queries: Int[Array, " q"]) -> Float[Array, "1 H q T"]:
                causal = mask_bias(positions[None, :] <= queries[:, None])[None, None]
                return self.relpos_bias(queries, positions) + causal

            return own
        soft = 0 if tokens is None else tokens.shape[1]
        places = joined_places(prefix, soft, count)
        always = jnp.arange(len(places)) < len(places) - count
        there = jnp.ones((1, count), bool)
        if tokens is not None:
            there = jnp.pad(tokens, ((0, 0), (0, count - soft)), constant_values=True)
        if prefix is not None:
            there = jnp.broadcast_to(there, (len(prefix.mask), count))
            there = joined_mask(prefix, there)

        def with_tokens(queries: Int[Array, " q"]) -> Float[Array, "B H q PT"]:
            causal = always[None, :] | (places[None, :] <= queries[:, None])
            seen = mask_bias(causal[None] & there[:, None, :])[:, None]
            return self.relpos_bias(queries, places) + seen

        return with_tokens

    def past(
        self,
        encoded: Encoded,
        cross: list[Cross],
        deep: Deep,
        tokens: SoftTokens | None,
        execution: Execution,
    ) -> Past | None:
        """What steps find before the first of them; None where there is nothing."""
        if tokens is None:
            return None if deep.decoder is None else self._prefix_past(deep.decoder, encoded)
        x = tokens.values.astype(encoded.memory.dtype)
        count = x.shape[1]
        own = self._own_bias(count, deep.decoder, tokens.mask)
        masked = mask_bias(joined_mask(deep.cross, encoded.mask))[:, None, None, :]
        bias = bias_in_blocks(own, count, execution.attention_block)
        cross_bias = bias_in_blocks(lambda queries: masked, count, execution.attention_block)
        prefixes = of_layers(deep.decoder, self.num_layers, self.config.num_heads, x.dtype)
        cache = []
        for layer, source, prefix in zip(self.layers(), cross, prefixes, strict=True):
            normed = layer.pre_self_attention_layer_norm(x)
            both = joined(prefix, layer.self_attention.keys_values(normed))
            x = x + layer.self_attention.attend(normed, *both, bias)
            x = layer.after_self_attention(x, source, cross_bias)
            cache.append(both)
        places = joined_places(deep.decoder, count, count) - count
        return Past(cache, joined_mask(deep.decoder, tokens.mask), places)

    def _prefix_past(self, prefix: Prefix, encoded: Encoded) -> Past:
        cache = prefix.layers(self.config.num_heads, encoded.memory.dtype)
        return Past(cache, prefix.mask, joined_places(prefix, 0, 0))

    def step(
        self,
        x: Float[Array, "B 1 D"],
        position: Int[Array, ""],
        cache: list[KeysValues],
        cross: list[Cross],
        mask: Bool[Array, "B S"],
        past: Past | None = None,
    ) -> tuple[Float[Array, "B 1 D"], list[KeysValues]]:
        """One position: reads and extends `cache`, whose arrays are [B, T, H, K], or [B, F + T, H,
        K] where they begin with those of a `past`. `mask` is that of what `cross` reads."""
        first = 0 if past is None else past.mask.shape[1]
        steps = jnp.arange(cache[0][0].shape[1] - first)
        seen = mask_bias(steps <= position)[None, None, None, :]
        if past is None:
            bias = self.relpos_bias(position[None], steps) + seen
        else:
            before = mask_bias(past.mask)[:, None, None, :]
            seen = jnp.broadcast_to(seen, (len(before), *seen.shape[1:]))
            places = jnp.concatenate([past.places, steps])
            bias = self.relpos_bias(position[None], places)
            bias = bias + jnp.concatenate([before, seen], axis=-1)
        cross_bias = mask_bias(mask)[:, None, None, :]
        grown = []
        for layer, (keys, values), source in zip(self.layers(), cache, cross, strict=True):
            normed = layer.pre_self_attention_layer_norm(x)
            key, value = layer.self_attention.keys_values(normed)
            place = position + first if first else position
            keys = jax.lax.dynamic_update_slice_in_dim(keys, key, place, axis=1)
            values = jax.lax.dynamic_update_slice_in_dim(values, value, place, axis=1)
            x = x + layer.self_attention.attend(normed, keys, values, bias)
            x = layer.after_self_attention(x, source, cross_bias)
            grown.append((keys, values))
        return self.decoder_norm(x), grown
