"""T5 1.0 and 1.1 in flax.nnx, under T5X's parameter names.

Shape letters: see `ptsys.models.t5.layers`; P prompt positions, L input positions.
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
from ptsys.models.t5.attention import Bias, BlockBias, KernelBias, mask_bias
from ptsys.models.t5.attention_kernel import supports
from ptsys.models.t5.config import T5Config
from ptsys.models.t5.layers import (
    Attention,
    Dense,
    FeedForward,
    RelativeBias,
    RMSNorm,
    parameter,
)
from ptsys.models.t5.packing import Packing, packing
from ptsys.sharding.mesh import copied_over_model, whole_over_model

KeysValues = tuple[Float[Array, "B S H K"], Float[Array, "B S H K"]]


class Memory(NamedTuple):
    """What a few queries attend to without keys and values, in copies for shares of the heads, and
    its mask as a bias: see `Attention.attend_memory`."""

    values: Float[Array, "G B S D"]
    bias: Float[Array, "B 1 1 S"]


Cross = KeysValues | Memory
"""What a decoder layer reads of the encoded input."""


def repeat_rows(cross: Cross, times: int) -> Cross:
    """Every row as often, one after another."""
    if isinstance(cross, Memory):
        values, bias = cross
        return Memory(jnp.repeat(values, times, axis=1), jnp.repeat(bias, times, axis=0))
    key, value = cross
    return jnp.repeat(key, times, axis=0), jnp.repeat(value, times, axis=0)


class Encoded(NamedTuple):
    """What the decoder sees of a row: padded rows [B, S, D], or packed positions [N, D]."""

    memory: Float[Array, "*S D"]
    mask: Bool[Array, "B S"]
    packing: Packing | None = None


class Embedding(nnx.Module):
    """The token table."""

    def __init__(self, rngs: nnx.Rngs, config: T5Config) -> None:
        shape = (config.vocab_size, config.d_model)
        self.embedding = parameter(rngs, shape, ("vocab", "embed"), 1.0)

    def __call__(self, tokens: Int[Array, "*lead"]) -> Float[Array, "*lead D"]:
        """Embed token ids."""
        return whole_over_model(jnp.take(self.embedding[...], tokens, axis=0))


class EncoderLayer(nnx.Module):
    """Self-attention and feed-forward, each normed before and added back."""

    def __init__(self, rngs: nnx.Rngs, config: T5Config) -> None:
        self.pre_attention_layer_norm = RMSNorm(config)
        self.attention = Attention(rngs, config)
        self.pre_mlp_layer_norm = RMSNorm(config)
        self.mlp = FeedForward(rngs, config)

    def __call__(
        self, x: Float[Array, "*S D"], bias: Bias, packing: Packing | None
    ) -> Float[Array, "*S D"]:
        """Transform `x`; `bias` holds positions and the mask."""
        x = x + self.attention(self.pre_attention_layer_norm(x), bias, packing)
        return x + self.mlp(self.pre_mlp_layer_norm(x))


class Encoder(nnx.Module):
    """A stack of encoder layers under one relative bias."""

    def __init__(self, rngs: nnx.Rngs, config: T5Config) -> None:
        self.relpos_bias = RelativeBias(rngs, config, bidirectional=True)
        self.num_layers = config.encoder_layers
        self.head_dim = config.head_dim
        for i in range(config.encoder_layers):
            setattr(self, f"layers_{i}", EncoderLayer(rngs, config))
        self.encoder_norm = RMSNorm(config)

    def layers(self) -> list[EncoderLayer]:
        """The layers in order."""
        return [getattr(self, f"layers_{i}") for i in range(self.num_layers)]

    def __call__(
        self,
        x: Float[Array, "B S D"],
        mask: Bool[Array, "B S"],
        execution: Execution,
        packing: Packing | None = None,
    ) -> Float[Array, "*S D"]:
        """Encode embedded positions where `mask` is true; packed ones are given back packed."""
        bias = self._bias(mask, execution)
        if packing is not None:
            x = packing.pack(x)
        for layer in self.layers():
            x = execution.layer(lambda x, layer=layer: layer(x, bias, packing))(x)
        return self.encoder_norm(x)

    def _bias(self, mask: Bool[Array, "B S"], execution: Execution) -> Bias:
        """Of every position on those where `mask` is true."""
        count = mask.shape[1]
        masked = mask_bias(mask)
        heads = len(self.relpos_bias.rel_embedding[...])
        if execution.attention == "kernel" and supports(heads, self.head_dim, count):
            return KernelBias(self.relpos_bias.diagonals(count), masked)
        positions = jnp.arange(count)

        def of(queries: Int[Array, " q"]) -> Float[Array, "B H q S"]:
            return self.relpos_bias(queries, positions) + masked[:, None, None, :]

        return _bias(of, count, execution)


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
            x = x + attention.attend_memory(normed, *cross)
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

    def cross(self, encoded: Encoded, queries: int) -> list[Cross]:
        """What every layer reads of the encoded input, computed once a request: keys and values,
        or where so few `queries` come in all that these cost more, the memory itself."""
        memory, mask, packing = encoded
        attentions = [layer.encoder_decoder_attention for layer in self.layers()]
        heads = self.config.num_heads
        if layers.reads_memory(self.config, queries, mask.shape[1]):
            rows = memory if packing is None else packing.unpack(memory)
            copies = copied_over_model(rows, heads)
            return [Memory(copies, mask_bias(mask)[:, None, None, :]) for _ in attentions]
        copies = copied_over_model(memory, heads)
        return [x.copies_keys_values(copies, packing) for x in attentions]

    def __call__(
        self, x: Float[Array, "B T D"], encoded: Encoded, execution: Execution
    ) -> Float[Array, "B T D"]:
        """Decode all positions at once, teacher-forced."""
        count = x.shape[1]
        positions = jnp.arange(count)
        masked = mask_bias(encoded.mask)[:, None, None, :]

        def own(queries: Int[Array, " q"]) -> Float[Array, "1 H q T"]:
            causal = mask_bias(positions[None, :] <= queries[:, None])[None, None]
            return self.relpos_bias(queries, positions) + causal

        bias = _bias(own, count, execution)
        cross_bias = _bias(lambda queries: masked, count, execution)

        def decoded(
            layer: DecoderLayer, x: Float[Array, "B T D"], source: Cross
        ) -> Float[Array, "B T D"]:
            x = x + layer.self_attention(layer.pre_self_attention_layer_norm(x), bias)
            return layer.after_self_attention(x, source, cross_bias)

        # Outside of what is computed again, so that the memory has one gradient, not one a layer.
        cross = self.cross(encoded, count)
        for layer, source in zip(self.layers(), cross, strict=True):
            x = execution.layer(functools.partial(decoded, layer))(x, source)
        return self.decoder_norm(x)

    def step(
        self,
        x: Float[Array, "B 1 D"],
        position: Int[Array, ""],
        cache: list[KeysValues],
        cross: list[Cross],
        mask: Bool[Array, "B S"],
    ) -> tuple[Float[Array, "B 1 D"], list[KeysValues]]:
        """One position: reads and extends `cache`, whose arrays are [B, T, H, K]."""
        steps = jnp.arange(cache[0][0].shape[1])
        seen = mask_bias(steps <= position)[None, None, None, :]
        bias = self.relpos_bias(position[None], steps) + seen
        cross_bias = mask_bias(mask)[:, None, None, :]
        grown = []
        for layer, (keys, values), source in zip(self.layers(), cache, cross, strict=True):
            normed = layer.pre_self_attention_layer_norm(x)
            key, value = layer.self_attention.keys_values(normed)
            keys = jax.lax.dynamic_update_slice_in_dim(keys, key, position, axis=1)
            values = jax.lax.dynamic_update_slice_in_dim(values, value, position, axis=1)
            x = x + layer.self_attention.attend(normed, keys, values, bias)
            x = layer.after_self_attention(x, source, cross_bias)
            grown.append((keys, values))
        return self.decoder_norm(x), grown


def _bias(
    of: Callable[[Int[Array, " q"]], Float[Array, "#B #H q S"]], queries: int, execution: Execution
) -> Bias:
    """The bias of all queries, whole where they attend at once."""
    if queries > execution.attention_block:
        return BlockBias(of, execution.attention_block)
    return of(jnp.arange(queries))


class T5(nnx.Module):
    """The frozen encoder-decoder. Token 0 is padding and the decoder's start, 1 ends a row."""

    def __init__(self, config: T5Config, rngs: nnx.Rngs) -> None:
        self.config = config
        self.execution = Execution()
        self.token_embedder = Embedding(rngs, config)
        self.encoder = Encoder(rngs, config)
        self.decoder = Decoder(rngs, config)

    def encode(
        self,
        inputs: Int[Array, "B L"],
        prompt: Float[Array, "B P D"] | None = None,
        prompt_mask: Bool[Array, "B P"] | None = None,
        capacity: int | None = None,
    ) -> Encoded:
        """Encode prompt and input; padding of the prompt lies on its left, of the input right.

        With a `capacity`, which must hold all real positions of the rows together, they are packed.
        """
        x = self.token_embedder(inputs)
        mask = inputs > 0
        if prompt is not None:
            x = jnp.concatenate([prompt.astype(x.dtype), x], axis=1)
            if prompt_mask is None:
                prompt_mask = jnp.ones(prompt.shape[:2], bool)
            mask = jnp.concatenate([prompt_mask, mask], axis=1)
        packed = None if capacity is None else packing(mask, capacity)
        return Encoded(self.encoder(x, mask, self.execution, packed), mask, packed)

    def decode(self, encoded: Encoded, targets: Int[Array, "B T"]) -> Float[Array, "B T V"]:
        """Teacher-forced float32 logits of every target position."""
        return self.logits(self.decoded(encoded, targets))

    def decoded(self, encoded: Encoded, targets: Int[Array, "B T"]) -> Float[Array, "B T D"]:
        """What `logits` makes the teacher-forced logits of."""
        shifted = jnp.pad(targets, ((0, 0), (1, 0)))[:, :-1]
        return self.decoder(self.token_embedder(shifted), encoded, self.execution)

    def logits(self, x: Float[Array, "*lead D"]) -> Float[Array, "*lead V"]:
        """Vocabulary scores in float32; a tied head is scaled by d_model ** -0.5 (T5 1.0)."""
        if self.config.tie_embeddings:
            table = self.token_embedder.embedding[...].astype(jnp.float32)
            scaled = x.astype(jnp.float32) * self.config.d_model**-0.5
            return jnp.einsum("...d,vd->...v", scaled, table)
        return self.decoder.logits_dense(x.astype(jnp.float32))

    def head(self, tokens: Int[Array, "*lead"]) -> Float[Array, "*lead D"]:
        """What `logits` multiplies a position with for each of these tokens, in float32."""
        if self.config.tie_embeddings:
            rows = jnp.take(self.token_embedder.embedding[...], tokens, axis=0)
            scaled: jax.Array = rows.astype(jnp.float32) * self.config.d_model**-0.5
            return scaled
        dense = self.decoder.logits_dense
        columns: jax.Array = jnp.moveaxis(jnp.take(dense.kernel[...], tokens, axis=1), 0, -1)
        columns = columns.astype(jnp.float32)
        if dense.scale is not None:
            columns *= jnp.take(dense.scale[...], tokens)[..., None]
        return columns


def create(config: T5Config, seed: int = 0) -> T5:
    """A T5 with random weights."""
    return T5(config, nnx.Rngs(params=seed))


def abstract(config: T5Config) -> T5:
    """A T5 whose parameters are shapes only, to be filled from a checkpoint."""
    return nnx.eval_shape(lambda: create(config))
