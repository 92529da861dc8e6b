"""The layers of T5, with logical axis names on every parameter.

Shape letters: B rows, S keys (prompt + input), Q queries, T target positions, D d_model,
H heads, K head_dim, F d_ff, N relative buckets, V vocabulary.
Axis names are T5X's: vocab, embed, joined_kv, mlp, heads, relpos_buckets.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.ad_checkpoint import checkpoint_name
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from ptsys.models.execution import PROJECTION
from ptsys.models.t5.attention import Bias, attend_by
from ptsys.models.t5.attention_kernel import diagonals_width
from ptsys.models.t5.config import T5Config
from ptsys.models.t5.packing import Packing
from ptsys.models.t5.prefix import KeysValues, joined
from ptsys.sharding.mesh import whole_over_model

_MARGIN = 1.25  # by which reading the memory must be less work: its products are smaller


def parameter(
    rngs: nnx.Rngs, shape: tuple[int, ...], axes: tuple[str, ...], scale: float
) -> nnx.Param[jax.Array]:
    """A normal(0, scale) float32 parameter that carries its logical axes."""
    value = jax.random.normal(rngs.params(), shape, jnp.float32) * scale
    return nnx.Param(value, out_sharding=axes, eager_sharding=False)


@jax.custom_vjp
def project(x: Float[Array, "*lead I"], kernel: Float[Array, "I O"]) -> Float[Array, "*lead O"]:
    """`x @ kernel`. When the kernel is trained, its gradient reads the cotangent behind a barrier:
    XLA's CPU compiler would else recompute the cotangent's elementwise producers once more, in
    transposed order, inside the operand of the product (1.5 times the step's time, measured on a
    T5 1.1 feed-forward). A frozen kernel's gradient is never computed and this changes nothing."""
    return jnp.einsum("...i,io->...o", x, kernel)


def _project_forward(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, Any]:
    return project(x, kernel), (x, kernel)


def _project_backward(saved: Any, cotangent: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, kernel = saved
    flat = jax.lax.optimization_barrier(cotangent).reshape(-1, kernel.shape[1])
    return (
        jnp.einsum("...o,io->...i", cotangent, kernel),
        jnp.einsum("ni,no->io", x.reshape(-1, kernel.shape[0]), flat),
    )


project.defvjp(_project_forward, _project_backward)


def kept(x: Float[Array, "*lead I"]) -> Float[Array, "*lead I"]:
    """Mark a projection that a layer's backward pass needs: see `Execution.remat`."""
    named: jax.Array = checkpoint_name(x, PROJECTION)
    return named


class Dense(nnx.Module):
    """A linear map without bias. A quantized one has an integer kernel and a `scale` for every
    output channel; see `ptsys.models.quantization`."""

    scale: nnx.Param[jax.Array] | None

    def __init__(
        self, rngs: nnx.Rngs, d_in: int, d_out: int, axes: tuple[str, str], scale: float
    ) -> None:
        self.kernel = parameter(rngs, (d_in, d_out), axes, scale)
        self.scale = nnx.data(None)

    def __call__(self, x: Float[Array, "*lead I"]) -> Float[Array, "*lead O"]:
        """Apply the map to the last axis."""
        return self._scaled(project(x, self.kernel[...].astype(x.dtype)))

    def of_copies(self, x: Float[Array, "G *lead I"]) -> Float[Array, "*lead O"]:
        """Apply the map to copies of one array, each G-th of its outputs to one of them: see
        `ptsys.sharding.mesh.copied_over_model`."""
        copies = len(x)
        if copies == 1:
            return self(x[0])
        kernel = self.kernel[...].astype(x.dtype)
        y = jnp.einsum("g...i,igo->...go", x, kernel.reshape(len(kernel), copies, -1))
        return self._scaled(y.reshape(*y.shape[:-2], -1))

    def _scaled(self, y: Float[Array, "*lead O"]) -> Float[Array, "*lead O"]:
        if self.scale is None:
            return y
        return y * self.scale[...].astype(y.dtype).reshape((1,) * (y.ndim - 1) + (-1,))

    def matrix(self, dtype: DTypeLike) -> Float[Array, "I O"]:
        """The map itself."""
        kernel = self.kernel[...].astype(dtype)
        return kernel if self.scale is None else kernel * self.scale[...].astype(dtype)[None, :]


class RMSNorm(nnx.Module):
    """Root mean square norm in float32, no bias, no centring (T5's layer norm)."""

    def __init__(self, config: T5Config) -> None:
        self.scale = nnx.Param(
            jnp.ones((config.d_model,), jnp.float32), out_sharding=("embed",), eager_sharding=False
        )
        self.epsilon = config.norm_epsilon

    def __call__(self, x: Float[Array, "*lead D"]) -> Float[Array, "*lead D"]:
        """Norm over the last axis."""
        x32 = x.astype(jnp.float32)
        variance = jnp.mean(jnp.square(x32), axis=-1, keepdims=True)
        scale = self.scale[...].astype(jnp.float32).reshape((1,) * (x.ndim - 1) + (-1,))
        return (x32 * jax.lax.rsqrt(variance + self.epsilon) * scale).astype(x.dtype)


def far_buckets(buckets: int, max_distance: int) -> np.ndarray:
    """The bucket of every distance from 0 to `max_distance`, after which all share the last.

    Half the buckets hold one distance each, the others grow log-spaced. Computed on the host, so
    that distances on a border fall into the same bucket whatever a device's log rounds to.
    """
    exact = buckets // 2
    distance = np.arange(max_distance + 1)
    ratio = np.log(np.maximum(distance, 1).astype(np.float32) / np.float32(exact))
    scaled = ratio / np.float32(math.log(max_distance / exact)) * np.float32(buckets - exact)
    far = np.minimum(exact + scaled.astype(np.int32), buckets - 1)
    return np.where(distance < exact, distance, far).astype(np.int32)


def relative_buckets(
    relative: Int[Array, "Q S"], *, bidirectional: bool, buckets: int, max_distance: int
) -> Int[Array, "Q S"]:
    """T5's log-spaced buckets of `key position - query position` (Raffel et al. 2020, 2.1)."""
    offset = jnp.zeros_like(relative)
    if bidirectional:
        buckets //= 2
        offset = jnp.where(relative > 0, buckets, 0)
        distance = jnp.abs(relative)
    else:
        distance = jnp.maximum(-relative, 0)
    table = jnp.asarray(far_buckets(buckets, max_distance))
    return offset + table[jnp.minimum(distance, max_distance)]


class RelativeBias(nnx.Module):
    """One learned bias table a stack, added to the scores of its self-attention."""

    def __init__(self, rngs: nnx.Rngs, config: T5Config, *, bidirectional: bool) -> None:
        shape = (config.num_heads, config.relative_buckets)
        scale = config.d_model**-0.5
        self.rel_embedding = parameter(rngs, shape, ("heads", "relpos_buckets"), scale)
        self.bidirectional = bidirectional
        self.buckets = config.relative_buckets
        self.max_distance = config.relative_max_distance

    def __call__(self, query: Int[Array, " Q"], key: Int[Array, " S"]) -> Float[Array, "1 H Q S"]:
        """The bias of every query position on every key position."""
        index = relative_buckets(
            key[None, :] - query[:, None],
            bidirectional=self.bidirectional,
            buckets=self.buckets,
            max_distance=self.max_distance,
        )
        return self.rel_embedding[...][:, index][None]

    def diagonals(self, count: int) -> Float[Array, "H W"]:
        """The bias by distance for as many queries as keys: that of a query on the key `d`
        positions after it stands at `count - 1 + d`; then padding."""
        place = jnp.arange(2 * count - 1)
        [row] = self(jnp.array([count - 1]), place)[:, :, 0].astype(jnp.float32)
        return jnp.pad(row, ((0, 0), (0, diagonals_width(count) - len(place))))


def reads_memory(config: T5Config, queries: int, keys: int) -> bool:
    """Whether so few queries are to attend by `Attention.attend_memory`: whether that is less
    work."""
    width, inner = config.d_model, config.inner_dim
    by_memory = queries * width * (inner + config.num_heads * keys)
    return by_memory * _MARGIN < (queries + width) * inner * keys


class Attention(nnx.Module):
    """Multi-head attention without biases and without the 1/sqrt(d) scale."""

    def __init__(self, rngs: nnx.Rngs, config: T5Config) -> None:
        d, inner = config.d_model, config.inner_dim
        self.query = Dense(rngs, d, inner, ("embed", "joined_kv"), (d * config.head_dim) ** -0.5)
        self.key = Dense(rngs, d, inner, ("embed", "joined_kv"), d**-0.5)
        self.value = Dense(rngs, d, inner, ("embed", "joined_kv"), d**-0.5)
        self.out = Dense(rngs, inner, d, ("joined_kv", "embed"), inner**-0.5)
        self.num_heads = config.num_heads

    def heads(self, x: Float[Array, "B S HK"]) -> Float[Array, "B S H K"]:
        """Split the joined width into heads."""
        return x.reshape(*x.shape[:-1], self.num_heads, -1)

    def keys_values(
        self, x: Float[Array, "*S D"], packing: Packing | None = None
    ) -> tuple[Float[Array, "B S H K"], Float[Array, "B S H K"]]:
        """Projected keys and values of `x`, of padded rows [B, S, D] or packed positions [N, D]."""
        return self.copies_keys_values(x[None], packing)

    def copies_keys_values(
        self, x: Float[Array, "G *S D"], packing: Packing | None = None
    ) -> tuple[Float[Array, "B S H K"], Float[Array, "B S H K"]]:
        """The same of copies of `x`, each for its share of the heads."""
        key, value = kept(self.key.of_copies(x)), kept(self.value.of_copies(x))
        if packing is not None:
            key, value = packing.unpack(key), packing.unpack(value)
        return self.heads(key), self.heads(value)

    def attend(
        self,
        x: Float[Array, "*Q D"],
        key: Float[Array, "B S H K"],
        value: Float[Array, "B S H K"],
        bias: Bias,
        packing: Packing | None = None,
    ) -> Float[Array, "*Q D"]:
        """Attend from `x` to given keys and values; `bias` holds positions and the mask."""
        query = kept(self.query(x))
        if packing is not None:
            query = packing.unpack(query)
        second = None if packing is None else packing.second
        joined = attend_by(self.heads(query), key, value, bias, second)
        joined = joined.reshape(*joined.shape[:-2], -1)
        out = self.out(joined if packing is None else packing.pack(joined))
        return kept(whole_over_model(out))

    def attend_memory(
        self,
        x: Float[Array, "B Q D"],
        memory: Float[Array, "G B S D"],
        bias: Float[Array, "#B #H #Q PS"],
        prefix: KeysValues | None = None,
    ) -> Float[Array, "B Q D"]:
        """`attend` to a prefix, if there is one, and to `memory` without its keys and values:
        queries go through the keys' map instead, and the weighted memory through the values'. With
        Q queries of H heads that costs 2QHSD where keys and values cost 2SDHK (the absorption of
        DeepSeek-V2's attention, DeepSeek-AI 2024, section 2.1.2). `memory` are copies, each for
        its share of the heads."""
        copies = (len(memory), self.num_heads // len(memory))
        by_head = self.heads(kept(self.query(x)))
        shape = (x.shape[-1], self.num_heads, by_head.shape[-1])
        keys = self.key.matrix(x.dtype).reshape(shape)
        values = self.value.matrix(x.dtype).reshape(shape)
        query = jnp.einsum("bqhk,dhk->bqhd", by_head, keys)
        query = query.reshape(*query.shape[:2], *copies, -1)
        scores = jnp.einsum("bqghd,gbsd->bghqs", query, memory).astype(jnp.float32)
        scores = scores.reshape(len(scores), self.num_heads, *scores.shape[3:])
        if prefix is not None:
            before = jnp.einsum("bqhk,bphk->bhqp", by_head, prefix[0]).astype(jnp.float32)
            scores = jnp.concatenate([before, scores], axis=-1)
        weights = jax.nn.softmax(scores + bias.astype(jnp.float32), axis=-1).astype(x.dtype)
        on_memory = weights if prefix is None else weights[..., prefix[0].shape[1] :]
        on_memory = on_memory.reshape(len(weights), *copies, *on_memory.shape[2:])
        read = jnp.einsum("bghqs,gbsd->bqghd", on_memory, memory)
        read = read.reshape(*read.shape[:2], self.num_heads, -1)
        found = jnp.einsum("bqhd,dhk->bqhk", read, values)
        if prefix is not None:
            on_prefix = weights[..., : prefix[1].shape[1]]
            found += jnp.einsum("bhqp,bphk->bqhk", on_prefix, prefix[1])
        return kept(whole_over_model(self.out(found.reshape(*x.shape[:-1], -1))))

    def __call__(
        self,
        x: Float[Array, "*S D"],
        bias: Bias,
        packing: Packing | None = None,
        prefix: KeysValues | None = None,
    ) -> Float[Array, "*S D"]:
        """Attend from `x` to a prefix, if there is one, and to itself."""
        return self.attend(x, *joined(prefix, self.keys_values(x, packing)), bias, packing)


class FeedForward(nnx.Module):
    """gelu(x wi_0) * (x wi_1) wo for T5 1.1, relu(x wi) wo for T5 1.0."""

    def __init__(self, rngs: nnx.Rngs, config: T5Config) -> None:
        d, f = config.d_model, config.d_ff
        self.gated = config.gated
        self.activation = config.activation
        if config.gated:
            self.wi_0 = Dense(rngs, d, f, ("embed", "mlp"), d**-0.5)
            self.wi_1 = Dense(rngs, d, f, ("embed", "mlp"), d**-0.5)
        else:
            self.wi = Dense(rngs, d, f, ("embed", "mlp"), d**-0.5)
        self.wo = Dense(rngs, f, d, ("mlp", "embed"), f**-0.5)

    def activate(self, x: Float[Array, "*lead F"]) -> Float[Array, "*lead F"]:
        """The non-linearity; gelu is the tanh approximation."""
        return jax.nn.gelu(x, approximate=True) if self.activation == "gelu" else jax.nn.relu(x)

    def __call__(self, x: Float[Array, "*lead D"]) -> Float[Array, "*lead D"]:
        """Apply to the last axis."""
        if self.gated:
            inner = self.activate(kept(self.wi_0(x))) * kept(self.wi_1(x))
        else:
            inner = self.activate(kept(self.wi(x)))
        return whole_over_model(self.wo(inner))
