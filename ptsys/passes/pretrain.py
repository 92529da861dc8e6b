"""The pretraining step: model weights, one shared prompt and the changes that tell tasks, together.

A task's prompt is the shared prompt plus a change for each trait that the task has, and traits are
what tasks have in common. So the frozen model learns to be steered by changes of its shared
initialization, which is where users' prompts start, and related tasks to be steered alike.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Float, Int

from ptsys.data.mixture import KINDS
from ptsys.models.parameters import flat_parameters, load_flat
from ptsys.models.t5 import T5
from ptsys.passes.batch import Prompts, Rows
from ptsys.passes.frozen import Frozen, Structure, freeze
from ptsys.passes.loss import row_losses

PROMPTLESS = KINDS.index("promptless")


@dataclasses.dataclass(frozen=True)
class PretrainOptimizer:
    """AdamW for kernels; Adam for tables (embeddings, relative biases, norms), which start ten
    times larger than kernels and so need larger steps, and for prompts. All rates warm up, then
    fall along a cosine."""

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


class TaskRows(NamedTuple):
    """Rows with the kind of their prompt (a place in `ptsys.data.mixture.KINDS`) and the numbers
    of the traits in it; numbers out of range stand for none."""

    inputs: Int[Array, "B L"]
    targets: Int[Array, "B T"]
    kind: Int[Array, "B"]
    traits: Int[Array, "B M"]


class PretrainState(NamedTuple):
    """What a checkpoint of a pretraining run holds."""

    trained: Trained
    optimizer: Any
    step: Int[Array, ""]


class PretrainMetrics(NamedTuple):
    """Sums over the rows of one kind: loss, tokens, rows and rows predicted whole."""

    loss: Float[Array, 3]
    tokens: Float[Array, 3]
    rows: Float[Array, 3]
    exact: Float[Array, 3]


def optimizer(
    config: PretrainOptimizer, steps: int, structure: Structure
) -> optax.GradientTransformation:
    """One transformation over `Trained`."""
    paths = [path for path, _ in nnx.to_flat_state(structure.placeholder())]
    kinds = tuple("kernel" if "kernel" in path else "table" for path in paths)

    def schedule(rate: float) -> optax.Schedule:
        end = max(steps, config.warmup_steps + 1)
        return optax.warmup_cosine_decay_schedule(0.0, rate, config.warmup_steps, end, rate * 0.02)

    transforms = {
        "kernel": optax.adamw(
            schedule(config.learning_rate), b2=0.98, weight_decay=config.weight_decay
        ),
        "table": optax.adam(schedule(config.table_learning_rate), b2=0.98),
        "prompt": optax.adam(schedule(config.prompt_learning_rate), b2=0.98),
    }
    labels = Trained(kinds, "prompt", "prompt")  # type: ignore[arg-type]
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
    trained = Trained(frozen.leaves, shared, jnp.zeros((traits, length, width)))
    return PretrainState(trained, transform.init(trained), jnp.zeros((), jnp.int32))


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


@functools.partial(
    jax.jit,
    static_argnames=("structure", "transform", "length", "noise"),
    donate_argnames="state",
)
def pretrain_step(
    structure: Structure,
    transform: optax.GradientTransformation,
    length: int,
    noise: float,
    state: PretrainState,
    rows: TaskRows,
) -> tuple[PretrainState, PretrainMetrics]:
    """One update on one batch, seeing the last `length` positions of every prompt.

    `noise` is the standard deviation of what is added to every number of a row's prompt, so that
    prompts near one another steer alike.
    """
    count = len(rows.kind)

    def loss(trained: Trained) -> tuple[jax.Array, PretrainMetrics]:
        prompts = _prompts(trained, rows.traits, length)
        prompts += noise * jax.random.normal(jax.random.key(state.step), prompts.shape)
        slot = jnp.where(rows.kind == PROMPTLESS, count, jnp.arange(count))
        losses = row_losses(
            Frozen(trained.leaves, structure).model(),
            Prompts(prompts, jnp.full((count,), length)),
            Rows(rows.inputs, rows.targets, slot),
        )
        exact = jnp.all(losses.predicted == rows.targets, axis=1).astype(jnp.float32)

        def sums(x: jax.Array) -> jax.Array:
            return jnp.zeros((len(KINDS),)).at[rows.kind].add(x)

        metrics = PretrainMetrics(
            sums(losses.loss), sums(losses.tokens), sums(jnp.ones_like(exact)), sums(exact)
        )
        return jnp.sum(losses.loss) / jnp.sum(losses.tokens), metrics

    gradients, metrics = jax.grad(loss, has_aux=True)(state.trained)
    updates, opt = transform.update(gradients, state.optimizer, state.trained)
    trained = optax.apply_updates(state.trained, updates)
    return PretrainState(trained, opt, state.step + 1), metrics


def _prompts(
    trained: Trained, traits: Int[Array, "B M"], length: int
) -> Float[Array, "B {length} D"]:
    """The last positions of every row's prompt."""
    changes = trained.traits[:, -length:].at[traits].get(mode="fill", fill_value=0)
    return trained.shared[None, -length:] + jnp.sum(changes, axis=1)
