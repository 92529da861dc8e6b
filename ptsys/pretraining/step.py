"""What pretraining learns, and its step on rows under prompts: model weights, one shared prompt,
the changes that tell tasks, and a meta-prompt (`ptsys.pretraining.reading_step`), together.

A task's prompt is the shared prompt plus a change for each trait that the task has, and traits are
what tasks have in common. So the frozen model learns to be steered by changes of its shared
initialization, which is where users' prompts start, and related tasks to be steered alike. How far
these prompts are from the shared one is bounded, for prompts that users tune stay near it too.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Float, Int

from ptsys.kinds.batch import gather
from ptsys.models.parameters import flat_parameters, load_flat
from ptsys.models.t5.kind import token_readings
from ptsys.models.t5.network import T5
from ptsys.passes.emit import MetaPrompt, initial_meta_prompt
from ptsys.passes.frozen import Frozen, Structure, freeze
from ptsys.pretraining.mixture import KINDS

PROMPTLESS = KINDS.index("promptless")


@dataclasses.dataclass(frozen=True)
class PretrainOptimizer:
    """AdamW for kernels; Adam for tables (embeddings, relative biases, norms), which start ten
    times larger than kernels and so need larger steps, and for prompts. All rates warm up,
    then fall along a cosine."""

    learning_rate: float = 1e-3
    table_learning_rate: float = 1e-2
    prompt_learning_rate: float = 1e-2
    warmup_steps: int = 500
    weight_decay: float = 0.01
    clip_norm: float = 1.0


class Trained(NamedTuple):
    """Everything that is learned."""

    leaves: tuple[jax.Array, ...]
    shared: Float[Array, "P D"]
    traits: Float[Array, "F P D"]
    meta: MetaPrompt


@dataclasses.dataclass(frozen=True)
class Steering:
    """How prompts steer in pretraining, in units of the shared prompt's root mean square.

    A bank prompt's change from it is at most `bound`; `noise` is the standard deviation of what is
    added to every number of a row's prompt, so that prompts near one another steer alike. Of the
    rows `short_share` see only the last `short` positions of their prompt. `compute` is the type
    that the passes compute in; weights are float32 always.
    """

    bound: float = 1.0
    noise: float = 0.3
    short: int = 8
    short_share: float = 0.7
    compute: Literal["float32", "bfloat16"] = "float32"


class TaskRows(NamedTuple):
    """Rows with the kind of their prompt (a place in `ptsys.pretraining.mixture.KINDS`) and the
    numbers of the traits in it; numbers out of range stand for none."""

    inputs: Int[Array, "B L"]
    targets: Int[Array, "B T"]
    kind: Int[Array, " B"]
    traits: Int[Array, "B M"]


class PretrainState(NamedTuple):
    """What a checkpoint of a pretraining run holds; `rate` scales the next update."""

    trained: Trained
    optimizer: Any
    step: Int[Array, ""]
    rate: Float[Array, ""]


class PretrainMetrics(NamedTuple):
    """Sums over the rows of one kind: loss, tokens, rows and rows predicted whole."""

    loss: Float[Array, 3]
    tokens: Float[Array, 3]
    rows: Float[Array, 3]
    exact: Float[Array, 3]


def optimizer(config: PretrainOptimizer, structure: Structure) -> optax.GradientTransformation:
    """One transformation over `Trained`, whose rates warm up and stay; `PretrainState.rate` lets
    them fall."""
    paths = [path for path, _ in nnx.to_flat_state(structure.placeholder())]
    kinds = tuple("kernel" if "kernel" in path else "table" for path in paths)

    def schedule(rate: float) -> optax.Schedule:
        return lambda step: rate * jnp.minimum(1.0, (step + 1) / max(config.warmup_steps, 1))

    transforms = {
        "kernel": optax.adamw(
            schedule(config.learning_rate), b2=0.98, weight_decay=config.weight_decay
        ),
        "table": optax.adam(schedule(config.table_learning_rate), b2=0.98),
        "prompt": optax.adam(schedule(config.prompt_learning_rate), b2=0.98),
    }
    meta = MetaPrompt("prompt", "kernel", "kernel", "kernel", "table")  # type: ignore[arg-type]
    labels = Trained(kinds, "prompt", "prompt", meta)  # type: ignore[arg-type]
    return optax.chain(
        optax.clip_by_global_norm(config.clip_norm),
        optax.multi_transform(transforms, labels),
    )


def initial_state(
    model: T5,
    traits: int,
    length: int,
    transform: optax.GradientTransformation,
    seed: int,
) -> PretrainState:
    """State of step 0; the shared prompt starts as random embeddings, the changes at zero."""
    prepare_copying(model)
    frozen = freeze(model)
    width = model.config.d_model
    shared = 0.5 * jax.random.normal(jax.random.key(seed), (length, width))
    meta = initial_meta_prompt(jax.random.key(seed + 1), width)
    trained = Trained(frozen.leaves, shared, jnp.zeros((traits, length, width)), meta)
    return PretrainState(trained, transform.init(trained), jnp.zeros((), jnp.int32), jnp.ones(()))


def prepare_copying(model: T5) -> None:
    """Let the decoder's cross-attention pass on what the encoder saw, from step 0.

    Value and output maps start near the identity (Trockman & Kolter 2023, mimetic
    initialization), so that with a tied head a row's own words are the likeliest answers at once;
    copying then is not found but only refined, which saves a small run thousands of steps.
    """
    for layer in model.decoder.layers():
        attention = layer.encoder_decoder_attention
        for dense in (attention.value, attention.out):
            kernel = dense.kernel[...]
            dense.kernel[...] = 0.3 * kernel + 0.8 * jnp.eye(kernel.shape[0], kernel.shape[1])
    for stack in (model.encoder, model.decoder):  # heads that look in different directions
        table = stack.relpos_bias.rel_embedding
        table[...] = table[...] * model.config.d_model**0.5


def untie(model: T5) -> T5:
    """The same function with a head of its own: a T5 1.1 from a model trained with tied
    embeddings, whose head is the scaled table."""
    config = dataclasses.replace(model.config, tie_embeddings=False)
    flat = flat_parameters(model)
    table = flat["token_embedder.embedding"]
    return load_flat(
        config, {**flat, "decoder.logits_dense.kernel": table.T * model.config.d_model**-0.5}
    )


def computing(leaves: tuple[jax.Array, ...], structure: Structure, steering: Steering) -> T5:
    """The model with its weights in the type that is computed in."""
    kind = jnp.dtype(steering.compute)
    return Frozen(tuple(leaf.astype(kind) for leaf in leaves), structure).model()


@functools.partial(
    jax.jit,
    static_argnames=("structure", "transform", "batch", "steering"),
    donate_argnames="state",
)
def pretrain_step(
    structure: Structure,
    transform: optax.GradientTransformation,
    batch: int,
    steering: Steering,
    state: PretrainState,
    pool: TaskRows,
    count: Int[Array, ""],
) -> tuple[PretrainState, PretrainMetrics]:
    """One update on `batch` rows, drawn by the step's number from the first `count` of the pool."""
    draw, noise, cut = jax.random.split(jax.random.key(state.step), 3)
    index = jax.random.randint(draw, (batch,), 0, count)
    rows = TaskRows(*(x[index].astype(jnp.int32) for x in pool))

    def loss(trained: Trained) -> tuple[jax.Array, PretrainMetrics]:
        prompts = trained.shared[None] + bank_changes(trained, rows.traits, steering.bound)
        prompts += steering.noise * _size(trained) * jax.random.normal(noise, prompts.shape)
        slot = jnp.where(rows.kind == PROMPTLESS, batch, jnp.arange(batch))
        short = jax.random.uniform(cut, (batch,)) < steering.short_share
        length = jnp.where(short, steering.short, prompts.shape[1])
        losses = structure.kind.losses(
            computing(trained.leaves, structure, steering),
            gather(token_readings(prompts, length), slot),
            {"inputs": rows.inputs, "targets": rows.targets},
        )
        exact = jnp.all(losses.predicted == rows.targets, axis=1).astype(jnp.float32)

        def sums(x: jax.Array) -> jax.Array:
            return jnp.zeros((len(KINDS),)).at[rows.kind].add(x)

        metrics = PretrainMetrics(
            sums(losses.loss), sums(losses.tokens), sums(jnp.ones_like(exact)), sums(exact)
        )
        return jnp.sum(losses.loss) / jnp.sum(losses.tokens), metrics

    gradients, metrics = jax.grad(loss, has_aux=True)(state.trained)
    return updated(state, transform, gradients), metrics


def updated(
    state: PretrainState, transform: optax.GradientTransformation, gradients: Trained
) -> PretrainState:
    """The state after one update, none where a gradient is not finite."""
    with jax.numpy_dtype_promotion("standard"):  # optax raises rates to the power of a count
        updates, opt = transform.update(gradients, state.optimizer, state.trained)
    updates = jax.tree.map(lambda x: state.rate * x, updates)
    trained = optax.apply_updates(state.trained, updates)
    finite = jnp.isfinite(optax.tree.norm(gradients))
    new, old = (trained, opt), (state.trained, state.optimizer)
    trained, opt = jax.tree.map(lambda x, y: jnp.where(finite, x, y), new, old)
    return PretrainState(trained, opt, state.step + 1, state.rate)


def bank_changes(
    trained: Trained, traits: Int[Array, "B M"], bound: float
) -> Float[Array, "B P D"]:
    """How tasks with these traits differ from the shared prompt: the sum of their traits' changes,
    whose root mean square nears `bound` times the shared prompt's and never exceeds it."""
    change = jnp.sum(trained.traits.at[traits].get(mode="fill", fill_value=0), axis=1)
    ratio = jnp.mean(jnp.square(change), axis=(1, 2), keepdims=True) / jnp.square(
        bound * _size(trained)
    )
    return change * jax.lax.rsqrt(1 + ratio)


def _size(trained: Trained) -> Float[Array, ""]:
    """The shared prompt's root mean square; a measure, so nothing learns through it."""
    return jax.lax.stop_gradient(jnp.sqrt(jnp.mean(jnp.square(trained.shared)) + 1e-6))
