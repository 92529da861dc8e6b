"""T5 1.0 and 1.1 in flax.nnx, under T5X's parameter names.

Shape letters: see `ptsys.models.t5.layers`; P prompt positions, L input positions.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from ptsys.models.execution import Execution
from ptsys.models.t5.attention import Bias, KernelBias, bias_in_blocks, mask_bias
from ptsys.models.t5.attention_kernel import supports
from ptsys.models.t5.config import T5Config
from ptsys.models.t5.decoder import Decoder, Encoded
from ptsys.models.t5.layers import Attention, FeedForward, RelativeBias, RMSNorm, parameter
from ptsys.models.t5.packing import Packing, packing
from ptsys.models.t5.prefix import (
    Deep,
    KeysValues,
    Prefix,
    SoftTokens,
    joined_mask,
    joined_places,
    of_layers,
)
from ptsys.sharding.mesh import whole_over_model


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
        self,
        x: Float[Array, "*S D"],
        bias: Bias,
        packing: Packing | None,
        prefix: KeysValues | None = None,
    ) -> Float[Array, "*S D"]:
        """Transform `x`; `bias` holds positions and the mask, of the prefix too."""
        x = x + self.attention(self.pre_attention_layer_norm(x), bias, packing, prefix)
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
        prefix: Prefix | None = None,
        tokens: int = 0,
    ) -> Float[Array, "*S D"]:
        """Encode embedded positions where `mask` is true, the first `tokens` of them soft; packed
        ones are given back packed. All attend to the `prefix` as well."""
        bias = self._bias(mask, execution, prefix, tokens)
        heads = len(self.relpos_bias.rel_embedding[...])
        prefixes = of_layers(prefix, self.num_layers, heads, x.dtype)
        if packing is not None:
            x = packing.pack(x)

        def encoded(
            layer: EncoderLayer, x: Float[Array, "*S D"], prefix: KeysValues | None
        ) -> Float[Array, "*S D"]:
            return layer(x, bias, packing, prefix)

        for layer, before in zip(self.layers(), prefixes, strict=True):
            x = execution.layer(functools.partial(encoded, layer))(x, before)
        return self.encoder_norm(x)

    def _bias(
        self, mask: Bool[Array, "B S"], execution: Execution, prefix: Prefix | None, tokens: int
    ) -> Bias:
        """Of every position on the prefix's and on those where `mask` is true."""
        count = mask.shape[1]
        masked = mask_bias(joined_mask(prefix, mask))
        heads = len(self.relpos_bias.rel_embedding[...])
        kernel = execution.attention == "kernel" and supports(heads, self.head_dim, count)
        if kernel and prefix is None:
            return KernelBias(self.relpos_bias.diagonals(count), masked)
        positions = joined_places(prefix, tokens, count)

        def of(queries: Int[Array, " q"]) -> Float[Array, "B H q S"]:
            return self.relpos_bias(queries, positions) + masked[:, None, None, :]

        return bias_in_blocks(of, count, execution.attention_block)


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
        deep: Deep | None = None,
    ) -> Encoded:
        """Encode prompt and input; padding of the prompt lies on its left, of the input right.

        With a `capacity`, which must hold all real positions of the rows together (a prefix of
        `deep` has none), they are packed.
        """
        x = self.token_embedder(inputs)
        mask = inputs > 0
        if prompt is not None:
            x = jnp.concatenate([prompt.astype(x.dtype), x], axis=1)
            if prompt_mask is None:
                prompt_mask = jnp.ones(prompt.shape[:2], bool)
            mask = jnp.concatenate([prompt_mask, mask], axis=1)
        packed = None if capacity is None else packing(mask, capacity)
        prefix = None if deep is None else deep.encoder
        soft = x.shape[1] - inputs.shape[1]
        x = self.encoder(x, mask, self.execution, packed, prefix, soft)
        return Encoded(x, mask, packed)

    def decode(
        self,
        encoded: Encoded,
        targets: Int[Array, "B T"],
        deep: Deep | None = None,
        tokens: SoftTokens | None = None,
    ) -> Float[Array, "B T V"]:
        """Teacher-forced float32 logits of every target position."""
        return self.logits(self.decoded(encoded, targets, deep, tokens))

    def decoded(
        self,
        encoded: Encoded,
        targets: Int[Array, "B T"],
        deep: Deep | None = None,
        tokens: SoftTokens | None = None,
    ) -> Float[Array, "B T D"]:
        """What `logits` makes the teacher-forced logits of; `tokens` stand before the first."""
        shifted = jnp.pad(targets, ((0, 0), (1, 0)))[:, :-1]
        x = self.token_embedder(shifted)
        if tokens is None:
            return self.decoder(x, encoded, self.execution, deep)
        x = jnp.concatenate([tokens.values.astype(x.dtype), x], axis=1)
        x = self.decoder(x, encoded, self.execution, deep, tokens.mask)
        return x[:, tokens.mask.shape[1] :]

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
