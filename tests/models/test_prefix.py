"""What prefixes and soft tokens do in the layers of a T5."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ptsys.models.execution import Execution
from ptsys.models.t5 import layers
from ptsys.models.t5.beam import decode_with_beams
from ptsys.models.t5.config import T5Config
from ptsys.models.t5.decoder import Encoded
from ptsys.models.t5.decoding import advance, choices, context_of, first_cache
from ptsys.models.t5.network import T5, create
from ptsys.models.t5.prefix import Deep, Prefix, SoftTokens
from ptsys.models.t5.sequential import decode_sequentially
from ptsys.passes.frozen import freeze
from ptsys.sharding.mesh import make_mesh

ROWS, WIDTH = 3, 32
CONFIG = T5Config(96, WIDTH, 4, 8, 48, encoder_layers=2, decoder_layers=2)
INPUTS = np.array([[5, 9, 60, 3, 1], [70, 8, 1, 0, 0], [1, 0, 0, 0, 0]])
TARGETS = np.array([[7, 4, 9, 1], [90, 1, 0, 0], [33, 2, 1, 0]])


@pytest.fixture(scope="module")
def config() -> T5Config:
    return CONFIG


@pytest.fixture(scope="module")
def model() -> T5:
    return create(CONFIG, seed=1)


def drawn(seed: int, *shape: int) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape)


def ones(length: int) -> jax.Array:
    return jnp.ones((ROWS, length), bool)


def prefix(seed: int, count: int, length: int) -> Prefix:
    keys, values = drawn(seed, 2, ROWS, length, count, WIDTH)
    return Prefix(keys, values, ones(length))


def deep(config: T5Config) -> Deep:
    encoder, decoder = config.encoder_layers, config.decoder_layers
    return Deep(prefix(0, encoder, 3), prefix(1, decoder, 2), prefix(2, decoder, 4))


def soft(length: int = 3) -> SoftTokens:
    return SoftTokens(drawn(3, ROWS, length, WIDTH), ones(length))


def padded(prefix: Prefix, by: int) -> Prefix:
    before = ((0, 0), (by, 0), (0, 0), (0, 0))
    keys, values = (jnp.pad(x, before, constant_values=7.0) for x in prefix[:2])
    return Prefix(keys, values, jnp.pad(prefix.mask, ((0, 0), (by, 0))))


@functools.partial(jax.jit, static_argnames=("capacity", "prompted"))
def logits_of(
    model: T5,
    deep: Deep,
    tokens: SoftTokens | None,
    *,
    capacity: int | None = None,
    prompted: bool = True,
) -> jax.Array:
    prompt = drawn(4, ROWS, 2, WIDTH) if prompted else None
    encoded = model.encode(INPUTS, prompt, None, capacity, deep)
    return model.decode(encoded, TARGETS, deep, tokens)


@jax.jit
def encode(model: T5, deep: Deep, prompt: jax.Array | None = None) -> Encoded:
    return model.encode(INPUTS, prompt, deep=deep)


@jax.jit
def decode(
    model: T5,
    encoded: Encoded,
    targets: jax.Array,
    deep: Deep = Deep(),  # noqa: B008 -- a tuple of nothing
    tokens: SoftTokens | None = None,
) -> jax.Array:
    return model.decode(encoded, targets, deep, tokens)


context = jax.jit(context_of, static_argnames=("max_tokens", "copies"))
step = jax.jit(advance)
empty = jax.jit(first_cache, static_argnames=("rows", "max_tokens"))


def executed(model: T5, execution: Execution) -> T5:
    graph = freeze(model, execution=execution)
    return graph.model()


def close(found: jax.Array, wanted: jax.Array, tolerance: float = 3e-5) -> None:
    np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)


def hidden(part: Prefix | SoftTokens | None) -> Prefix | SoftTokens:
    assert part is not None
    return part._replace(mask=~part.mask)


def test_every_prefix_and_the_soft_tokens_count(model: T5, config: T5Config) -> None:
    whole, tokens = deep(config), soft()
    found = logits_of(model, whole, tokens)
    for left_out in ("encoder", "decoder", "cross"):
        other = whole._replace(**{left_out: hidden(getattr(whole, left_out))})
        assert np.abs(found - logits_of(model, other, tokens)).max() > 1e-2
    assert np.abs(found - logits_of(model, whole, hidden(tokens))).max() > 1e-2


def test_the_encoders_prefix_is_read_as_tokens_before_the_first_are() -> None:
    """With one layer, tokens before the input put nothing but their keys and values into it."""
    config = T5Config(96, WIDTH, 4, 8, 48, encoder_layers=1, decoder_layers=1)
    model, tokens = create(config, seed=1), drawn(5, ROWS, 3, WIDTH)
    layer = model.encoder.layers_0
    keys, values = layer.attention.keys_values(layer.pre_attention_layer_norm(tokens))
    own = Prefix(*(x.reshape(ROWS, 3, 1, -1) for x in (keys, values)), ones(3))
    found = encode(model, Deep(encoder=own))
    close(found.memory, encode(model, Deep(), tokens).memory[:, 3:])


def test_the_decoders_prefix_is_read_as_soft_tokens_are(model: T5, config: T5Config) -> None:
    """No later token changes the keys and values of an earlier one."""
    tokens, encoded = soft(), model.encode(INPUTS)
    past = context(model, encoded, 4, 1, Deep(), tokens).past
    assert past is not None
    keys, values = (
        jnp.stack([x[i].reshape(ROWS, 3, -1) for x in past.cache], axis=2) for i in (0, 1)
    )
    found = decode(model, encoded, TARGETS, Deep(decoder=Prefix(keys, values, ones(3))))
    close(found, decode(model, encoded, TARGETS, tokens=tokens))


def test_the_prefix_of_cross_attention_is_read_as_encoded_input_is(model: T5) -> None:
    encoded = encode(model, Deep())
    both = [
        layer.encoder_decoder_attention.keys_values(encoded.memory)
        for layer in model.decoder.layers()
    ]
    keys, values = (
        jnp.stack([x[i][:, :1].reshape(ROWS, 1, -1) for x in both], axis=2) for i in (0, 1)
    )
    rest = encoded._replace(memory=encoded.memory[:, 1:], mask=encoded.mask[:, 1:])
    found = decode(model, rest, TARGETS, Deep(cross=Prefix(keys, values, ones(1))))
    close(found, decode(model, encoded, TARGETS))


def test_padding_on_the_left_changes_nothing(model: T5, config: T5Config) -> None:
    whole, tokens = deep(config), soft()
    wider = SoftTokens(
        jnp.pad(tokens.values, ((0, 0), (2, 0), (0, 0)), constant_values=5.0),
        jnp.pad(tokens.mask, ((0, 0), (2, 0))),
    )
    found = logits_of(model, Deep(*(padded(x, 3) for x in whole)), wider)  # type: ignore[arg-type]
    close(found, logits_of(model, whole, tokens))
    nothing = Deep(*(padded(x, 3)._replace(mask=~ones(x.mask.shape[1] + 3)) for x in whole))  # type: ignore[union-attr]
    none = wider._replace(mask=~ones(5))
    close(logits_of(model, nothing, none), logits_of(model, Deep(), None))


def test_keys_and_values_or_the_memory_itself(
    model: T5, config: T5Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, reads = logits_of(model, deep(config), soft()), layers.reads_memory
    monkeypatch.setattr(layers, "reads_memory", lambda *sizes: not reads(*sizes))
    jax.clear_caches()
    close(logits_of(model, deep(config), soft()), wanted)
    jax.clear_caches()


@pytest.mark.parametrize(
    ("execution", "capacity"),
    [
        (Execution(remat="dots", attention="kernel"), None),
        (Execution(remat="layer", attention_block=2), 15),
    ],
)
def test_every_execution_gives_the_same_numbers_and_gradients(
    model: T5, config: T5Config, execution: Execution, capacity: int | None
) -> None:
    other = executed(model, execution)

    def loss(model: T5, both: tuple[Deep, SoftTokens], capacity: int | None) -> jax.Array:
        return jnp.sum(jnp.sin(logits_of(model, *both, capacity=capacity)[TARGETS > 0]))

    both = (deep(config), soft())
    found = jax.jit(jax.grad(lambda x: loss(other, x, capacity), allow_int=True))(both)
    wanted = jax.jit(jax.grad(lambda x: loss(model, x, None), allow_int=True))(both)
    for x, y in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        if x.dtype == jnp.float32:
            close(x, y, 1e-3)
            assert np.abs(y).max() > 1e-3


@pytest.mark.parametrize(
    ("copies", "prefixes", "before"), [(1, True, False), (1, False, True), (2, True, True)]
)
def test_step_by_step_equals_teacher_forcing(
    model: T5, config: T5Config, copies: int, prefixes: bool, before: bool
) -> None:
    whole, tokens = deep(config) if prefixes else Deep(), soft() if before else None
    encoded = encode(model, whole)
    wanted = jax.nn.log_softmax(decode(model, encoded, TARGETS, whole, tokens))
    read = context(model, encoded, 4, copies, whole, tokens)
    cache = empty(model, read, ROWS * copies, 4)
    last = np.zeros(ROWS * copies, int)
    for position in range(4):
        found = step(model, read, cache, last, jnp.asarray(position))
        cache = found.cache
        close(found.log_probability[::copies, 1:], wanted[:, position, 1:], 1e-4)
        last = np.repeat(TARGETS[:, position], copies)


def test_what_is_generated_is_scored_as_teacher_forcing_scores_it(
    model: T5, config: T5Config
) -> None:
    whole, tokens, real = deep(config), soft(), jnp.ones((ROWS,), bool)
    for beams in (1, 3):

        @jax.jit
        def answered(beams: int = beams) -> tuple[jax.Array, jax.Array]:
            context = context_of(model, model.encode(INPUTS, deep=whole), 4, beams, whole, tokens)
            wanted = choices(ROWS, 4)
            if beams == 1:
                return decode_sequentially(model, context, real, wanted, "greedy", 4)[:2]
            return decode_with_beams(model, context, real, wanted, beams, 4)[:2]

        found, score = answered()
        encoded = encode(model, whole)
        log = jax.nn.log_softmax(decode(model, encoded, found, whole, tokens))
        chosen = jnp.take_along_axis(log, found[..., None], axis=-1)[..., 0]
        close(jnp.sum(jnp.where(found > 0, chosen, 0), axis=1), score, 1e-4)


def test_heads_spread_over_the_model_axis(model: T5, config: T5Config) -> None:
    mesh = make_mesh(jax.devices()[:4], data=1, model=4)
    spread = freeze(model, mesh)
    whole, tokens = deep(config), soft()

    @jax.jit
    def logits(frozen: object) -> jax.Array:
        assert isinstance(frozen, type(spread))
        found: jax.Array = logits_of.__wrapped__(frozen.model(), whole, tokens)
        return found

    with jax.set_mesh(mesh):
        close(logits(spread), logits_of(model, whole, tokens), 1e-4)


def test_half_precision_reads_prefixes_in_its_own_type(config: T5Config) -> None:
    frozen = freeze(create(config, seed=1))
    half = jax.tree.map(lambda x: x.astype(jnp.bfloat16), frozen.leaves)
    model = dataclasses.replace(frozen, leaves=half).model()
    encoded = encode(model, deep(config))
    assert encoded.memory.dtype == jnp.bfloat16
    assert np.isfinite(decode(model, encoded, TARGETS, deep(config), soft())).all()
