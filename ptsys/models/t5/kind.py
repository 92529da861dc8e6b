"""T5 as a model kind: its losses, answers and costs.

Rows have `inputs` [B, L] and `targets` [B, T], token ids ended by 1 and padded with 0 on the right;
rows to be answered freely have the wishes of `Choices` instead of targets. What a reading may have:
`ptsys.models.t5.reading`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ptsys.data.features import LIKELY_LOGS, LIKELY_TOKENS, LIKELY_WEIGHT
from ptsys.data.shown_examples import LABEL
from ptsys.kinds.batch import Readings, Rows
from ptsys.kinds.model_kind import ChunkSize, Features, RowLosses
from ptsys.kinds.trees import Layout, Leaf
from ptsys.models.execution import Execution
from ptsys.models.parameters import parameter_count
from ptsys.models.t5.beam import decode_with_beams
from ptsys.models.t5.config import T5Config
from ptsys.models.t5.decoding import Choices, Generated, context_of, nothing
from ptsys.models.t5.generator import with_encoder
from ptsys.models.t5.likely import Likely, divergence, likely
from ptsys.models.t5.network import T5
from ptsys.models.t5.reading import PROMPT, beside, decoder_tokens, prefixes, tokens_before
from ptsys.models.t5.sequential import decode_sequentially
from ptsys.models.t5.token_scores import token_scores
from ptsys.sharding.mesh import agreed_any
from ptsys.types.training import TOKENS

LEAST_TOKENS = 16  # of a padded prompt
LEAST_ROWS = 8  # a chunk
LEAST_POSITIONS = 8  # that a row counts as at least
PACKED_INPUTS = 64  # from this length on; in shorter rows the decoder's share is too large


class Emitted(NamedTuple):
    """What the encoder makes of rows whose first A tokens are a label's: its outputs at the
    prompt's tokens and at the label's, and the embeddings of the label's, float32."""

    tokens: Float[Array, "B P D"]
    label: Float[Array, "B A D"]
    embedded: Float[Array, "B A D"]


class Scores(NamedTuple):
    """Summed log-probability (nats) of every row's target, and its count of tokens."""

    log_probability: Float[Array, " B"]
    tokens: Float[Array, " B"]


@dataclasses.dataclass(frozen=True)
class T5Kind:
    """See `ptsys.kinds.model_kind.ModelKind`."""

    config: T5Config

    @property
    def flops(self) -> float:
        """Of one position of the encoder, forward and as much back."""
        return 4.0 * self._encoder

    @property
    def parameters(self) -> int:
        """Of the whole network."""
        return parameter_count(self.config)

    @property
    def no_prompt(self) -> Layout:
        """Soft tokens of the smallest size, all of them padding."""
        leaf = Leaf(PROMPT, (LEAST_TOKENS, self.config.d_model))
        return Layout(TOKENS, (leaf,), LEAST_TOKENS)

    @property
    def _encoder(self) -> int:
        """Weights that a position of the encoder meets."""
        config = self.config
        gates = 3 if config.gated else 2
        layer = 4 * config.d_model * config.inner_dim + gates * config.d_model * config.d_ff
        return layer * config.encoder_layers

    def losses(
        self,
        model: T5,
        own: Readings,
        features: Features,
        z_loss: Float[Array, " B"] | None = None,
        capacity: int | None = None,
    ) -> RowLosses:
        """Cross-entropy of every row, plus `z_loss * log(Z)^2` a token (Shazeer 2018, mesh T5),
        plus their weight times the divergence from others' answers where rows have these beside.
        `capacity` packs the encoder's positions; see `T5.encode`."""
        targets = features["targets"]
        deep = prefixes(own)
        encoded = model.encode(features["inputs"], *tokens_before(own), capacity, deep)
        x = model.decoded(encoded, targets, deep, decoder_tokens(own))
        found = token_scores(model, x, targets)
        losses = found.log_z - found.chosen
        if z_loss is not None:
            losses = losses + z_loss[:, None] * jnp.square(found.log_z)
        real = targets > 0
        if LIKELY_TOKENS in features:
            wanted = Likely(
                features[LIKELY_TOKENS].reshape(*targets.shape, -1),
                features[LIKELY_LOGS].reshape(*targets.shape, -1),
            )
            far = divergence(model, x, found.log_z, real, wanted)
            losses = losses + features[LIKELY_WEIGHT][:, None] * far
        return RowLosses(
            loss=jnp.sum(jnp.where(real, losses, 0), axis=1),
            tokens=self.tokens(features),
            predicted=jnp.where(real, found.best, 0),
        )

    def tokens(self, features: Features) -> Float[Array, " B"]:
        """Target tokens of every row."""
        return jnp.sum(features["targets"] > 0, axis=1).astype(jnp.float32)

    def positions(self, length: Mapping[str, Any], features: Features) -> Int[Array, " B"]:
        """Positions of every row's encoder."""
        positions: jax.Array = jnp.sum(features["inputs"] > 0, axis=1)
        return positions + length[PROMPT] if PROMPT in length else positions

    def chunk(
        self, readings: Any, features: Any, execution: Execution, *, packed: bool
    ) -> ChunkSize:
        """See `chunk_size`."""
        rows, inputs = features["inputs"].shape
        prompt = readings[PROMPT].shape[1] if PROMPT in readings else 0
        others = beside(readings)
        return chunk_size(prompt, inputs, rows, execution, packed=packed, beside=others)

    def answer(
        self,
        operation: str,
        model: T5,
        own: Readings,
        features: Features,
        real: Bool[Array, " B"],
        options: Mapping[str, Any],
    ) -> Scores | Generated | Emitted | Likely | Float[Array, "B D"]:
        """`encode`: see `mean_encodings`. `emit`: see `emitted`. `likely`: see `likely`, of the
        targets. `score`: the log-probability of the targets. `generate`: tokens, as `options` say:
        the `method`, so many `beams`, and at most `max_tokens`."""
        if operation == "encode":
            return mean_encodings(model, own, features["inputs"], real)
        if operation == "emit":
            return emitted(model, own, features["inputs"])
        if operation == "likely":
            deep = prefixes(own)
            encoded = model.encode(features["inputs"], *tokens_before(own), deep=deep)
            return likely(
                model, model.decoded(encoded, features["targets"], deep, decoder_tokens(own))
            )
        if operation == "score":
            losses = self.losses(model, own, features)
            return Scores(jnp.where(real, -losses.loss, 0), jnp.where(real, losses.tokens, 0))
        return self._generated(model, own, features, real, **options)

    def with_generator(self, model: T5, arrays: Mapping[str, Any]) -> T5:
        """See `ptsys.models.t5.generator`."""
        return with_encoder(model, arrays)

    def _generated(
        self,
        model: T5,
        own: Readings,
        features: Features,
        real: Bool[Array, " B"],
        *,
        max_tokens: int,
        method: str = "greedy",
        beams: int = 1,
    ) -> Generated:
        """Padding is never generated, so a token 0 always means the row is over. One beam is greedy
        decoding. The pass ends as soon as every row has."""
        if method != "beam":
            beams = 1
        choices = Choices(**{name: features[name] for name in Choices._fields})
        choices = choices._replace(limit=jnp.minimum(choices.limit, max_tokens))

        def some() -> Generated:
            deep, tokens = prefixes(own), decoder_tokens(own)
            encoded = model.encode(features["inputs"], *tokens_before(own), deep=deep)
            context = context_of(model, encoded, max_tokens, beams, deep, tokens)
            if beams > 1:
                return decode_with_beams(model, context, real, choices, beams, max_tokens)
            one: Literal["greedy", "sample"] = "sample" if method == "sample" else "greedy"
            return decode_sequentially(model, context, real, choices, one, max_tokens)

        found: Generated = jax.lax.cond(
            agreed_any(real), some, lambda: nothing(real.shape[0], max_tokens)
        )
        return found._replace(steps=found.steps[None])


def mean_encodings(
    model: T5, own: Readings, inputs: Int[Array, "B L"], real: Bool[Array, " B"]
) -> Float[Array, "B D"]:
    """The mean of the encoder's outputs over every input's own positions, its end among them and
    a prompt's not, in float32; zeros for rows that are not `real`."""
    encoded = model.encode(inputs, *tokens_before(own), deep=prefixes(own))
    memory = encoded.memory[:, -inputs.shape[1] :].astype(jnp.float32)
    there = (inputs > 0) & real[:, None]
    total = jnp.sum(jnp.where(there[:, :, None], memory, 0), axis=1)
    count: jax.Array = jnp.maximum(jnp.sum(there, axis=1), 1).astype(jnp.float32)
    return total / count[:, None]


def emitted(model: T5, own: Readings, inputs: Int[Array, "B L"]) -> Emitted:
    """Rows are laid out as `ptsys.data.shown_examples` says, and read behind a meta-prompt's
    tokens."""
    memory = model.encode(inputs, *tokens_before(own)).memory.astype(jnp.float32)
    tokens = memory.shape[1] - inputs.shape[1]
    embedded = model.token_embedder(inputs[:, :LABEL]).astype(jnp.float32)
    return Emitted(memory[:, :tokens], memory[:, tokens : tokens + LABEL], embedded)


def token_readings(values: Float[Array, "V P D"], length: Int[Array, " V"]) -> Readings:
    """Readings of soft tokens alone, right-aligned."""
    return Readings({PROMPT: values}, {PROMPT: length})


def text_rows(
    inputs: Int[Array, "B L"], targets: Int[Array, "B T"], slot: Int[Array, " B"]
) -> Rows:
    """Rows to learn from."""
    return Rows({"inputs": inputs, "targets": targets}, slot)


def chunk_size(
    prompt: int,
    inputs: int,
    rows: int,
    execution: Execution,
    *,
    packed: bool = False,
    beside: int = 0,
) -> ChunkSize:
    """The size of chunks of rows padded to so many prompt and input positions.

    Rows are a power of two, as many as `execution.chunk_positions` hold but `LEAST_ROWS` at
    least. With `packed`, where inputs are long enough to be worth it, twice as many rows share
    these positions, if they fill but half of theirs; full rows then cost about a fifth more than
    unpacked, as the decoder computes the room of those that are not there. Positions `beside`
    those of the encoder, of which none is packed, make chunks smaller.
    """
    positions = prompt + inputs
    fitting = max(execution.chunk_positions // max(positions + beside, LEAST_POSITIONS), 1)
    full = max(1 << (fitting.bit_length() - 1), LEAST_ROWS)
    if not packed or inputs < PACKED_INPUTS or rows <= full:
        return ChunkSize(min(full, rows), None)
    return ChunkSize(2 * full, full * positions)
