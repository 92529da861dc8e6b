"""Optimizers of many prompts at once, each slot with its own kind and hyperparameters.

The updates are those of optax (`adafactor` unfactored and without parameter scale, `adamw`,
`sgd`), written over a leading slot axis: optax keeps one set of hyperparameters for a tree,
here every user has their own, and the clipping of Adafactor must not see prompt padding.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ptsys.kinds.batch import prompt_mask
from ptsys.types.training import Optimizer

KINDS = ("adafactor", "adamw", "sgd")
DECAYS = ("constant", "linear", "cosine")


class Hyperparameters(NamedTuple):
    """One scalar a slot. `kind` and `decay` index `KINDS` and `DECAYS`; `initial_step` is where
    Adafactor's step count starts (T5X's published runs start at the model's 1.1 M steps);
    `momentum` is AdamW's beta1."""

    kind: Int[Array, " U"]
    learning_rate: Float[Array, " U"]
    weight_decay: Float[Array, " U"]
    warmup_steps: Int[Array, " U"]
    total_steps: Int[Array, " U"]
    decay: Int[Array, " U"]
    momentum: Float[Array, " U"]
    beta2: Float[Array, " U"]
    initial_step: Int[Array, " U"]
    z_loss: Float[Array, " U"]


def hyperparameters(optimizers: Sequence[Optimizer], total_steps: Sequence[int]) -> Hyperparameters:
    """One slot for each optimizer, as numpy arrays; `total_steps` is where its decay ends."""

    def column(values: Iterable[float], kind: type) -> Any:
        return np.array(list(values), kind).reshape(len(optimizers))

    return Hyperparameters(
        kind=column((KINDS.index(x.kind) for x in optimizers), np.int32),
        learning_rate=column((x.learning_rate for x in optimizers), np.float32),
        weight_decay=column((x.weight_decay for x in optimizers), np.float32),
        warmup_steps=column((x.warmup_steps for x in optimizers), np.int32),
        total_steps=column(total_steps, np.int32),
        decay=column((DECAYS.index(x.decay) for x in optimizers), np.int32),
        momentum=column(map(_momentum, optimizers), np.float32),
        beta2=column((x.beta2 for x in optimizers), np.float32),
        initial_step=column((x.initial_step for x in optimizers), np.int32),
        z_loss=column((x.z_loss for x in optimizers), np.float32),
    )


def _momentum(optimizer: Optimizer) -> float:
    """The decay of the first moment; Adafactor keeps none."""
    if optimizer.kind == "adamw":
        return optimizer.beta1
    return optimizer.momentum if optimizer.kind == "sgd" else 0.0


class SlotState(NamedTuple):
    """Prompts and optimizer state of slots; `step` counts the updates made."""

    prompt: Float[Array, "U P D"]
    length: Int[Array, " U"]
    first: Float[Array, "U P D"]
    second: Float[Array, "U P D"]
    step: Int[Array, " U"]


def initial_state(prompt: Float[Array, "U P D"], length: Int[Array, " U"]) -> SlotState:
    """State before the first update."""
    first, second = jnp.zeros_like(prompt), jnp.zeros_like(prompt)  # two buffers: both are donated
    return SlotState(prompt, length, first, second, jnp.zeros(length.shape, jnp.int32))


def learning_rate(hyper: Hyperparameters, step: Int[Array, " U"]) -> Float[Array, " U"]:
    """Linear warm-up, then constant or decayed to zero over the remaining steps."""
    t = step.astype(jnp.float32)
    warmup = hyper.warmup_steps.astype(jnp.float32)
    rise = jnp.where(warmup > 0, jnp.minimum((t + 1) / jnp.maximum(warmup, 1), 1.0), 1.0)
    span = jnp.maximum(hyper.total_steps.astype(jnp.float32) - warmup, 1)
    progress = jnp.clip((t - warmup) / span, 0.0, 1.0)
    decayed = jnp.stack([jnp.ones_like(t), 1 - progress, 0.5 * (1 + jnp.cos(jnp.pi * progress))])
    fall = jnp.take_along_axis(decayed, hyper.decay[None, :], axis=0)[0]
    return hyper.learning_rate * rise * fall


def update(state: SlotState, gradient: Float[Array, "U P D"], hyper: Hyperparameters) -> SlotState:
    """One step of every slot's own optimizer."""
    rate = learning_rate(hyper, state.step)[:, None, None]
    decay = hyper.weight_decay[:, None, None]
    candidates = (
        _adafactor(state, gradient, hyper, rate, decay),
        _adamw(state, gradient, hyper, rate, decay),
        _sgd(state, gradient, hyper, rate, decay),
    )
    kind = hyper.kind[:, None, None]

    def choose(*options: jax.Array) -> jax.Array:
        chosen = options[0]
        for i, option in enumerate(options[1:], start=1):
            chosen = jnp.where(kind == i, option, chosen)
        return chosen

    change, first, second = (choose(*parts) for parts in zip(*candidates, strict=True))
    return SlotState(state.prompt + change, state.length, first, second, state.step + 1)


Parts = tuple[jax.Array, jax.Array, jax.Array]


def _adafactor(
    state: SlotState, gradient: jax.Array, hyper: Hyperparameters, rate: jax.Array, decay: jax.Array
) -> Parts:
    """Shazeer & Stern 2018 with decay 1 - t^-0.8 and RMS clipping at 1; T5X's weight decay,
    which the learning rate does not scale."""
    t = (state.step + hyper.initial_step + 1).astype(jnp.float32)[:, None, None]
    rest = t**-0.8  # 1 - beta2; as a difference it would lose 3 digits at 1.1 M steps
    second = (1 - rest) * state.second + rest * (jnp.square(gradient) + 1e-30)
    scaled = gradient * jax.lax.rsqrt(second)
    width = gradient.shape[1]
    real = prompt_mask(state.length, width)[:, :, None]
    count = (state.length * gradient.shape[2]).astype(jnp.float32)
    mean_square = jnp.sum(jnp.where(real, jnp.square(scaled), 0), axis=(1, 2)) / jnp.maximum(
        count, 1
    )
    clipped = scaled / jnp.maximum(1.0, jnp.sqrt(mean_square))[:, None, None]
    return -(rate * clipped + decay * state.prompt), state.first, second


def _adamw(
    state: SlotState, gradient: jax.Array, hyper: Hyperparameters, rate: jax.Array, decay: jax.Array
) -> Parts:
    """Loshchilov & Hutter 2019; epsilon 1e-8, weight decay scaled by the learning rate."""
    t = (state.step + 1).astype(jnp.float32)[:, None, None]
    beta1, beta2 = hyper.momentum[:, None, None], hyper.beta2[:, None, None]
    first = beta1 * state.first + (1 - beta1) * gradient
    second = beta2 * state.second + (1 - beta2) * jnp.square(gradient)
    unbiased = first / (1 - beta1**t)
    scale = jnp.sqrt(second / (1 - beta2**t)) + 1e-8
    return -rate * (unbiased / scale + decay * state.prompt), first, second


def _sgd(
    state: SlotState, gradient: jax.Array, hyper: Hyperparameters, rate: jax.Array, decay: jax.Array
) -> Parts:
    """Heavy-ball momentum; weight decay decoupled and scaled by the learning rate."""
    first = gradient + hyper.momentum[:, None, None] * state.first
    return -rate * (first + decay * state.prompt), first, state.second
