"""Optimizers of many prompts at once, each slot with its own kind and hyperparameters.

The updates are those of optax (`adafactor` unfactored and without parameter scale, `adamw`,
`sgd`), written over a leading slot axis: optax keeps one set of hyperparameters for a tree,
here every user has their own, and the clipping of Adafactor must not see prompt padding.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ptsys.kinds.batch import real_positions
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


class LeafState(NamedTuple):
    """One array of many slots' prompts, right-aligned, and its optimizer state; `step` counts its
    own updates."""

    value: Float[Array, "U P *rest"]
    length: Int[Array, " U"]
    first: Float[Array, "U P *rest"]
    second: Float[Array, "U P *rest"]
    step: Int[Array, " U"]


class SlotState(NamedTuple):
    """The arrays of many slots' prompts by name, [U, ...], those of members [U, N, ...] as are
    their lengths and steps. `step` counts the slot's updates, whichever arrays they changed."""

    leaves: dict[str, LeafState]
    step: Int[Array, " U"]


def initial_state(value: Float[Array, "U ..."], length: Int[Array, "U ..."]) -> LeafState:
    """State before the first update, of an array of slots or, with N of them each, of members."""
    first, second = jnp.zeros_like(value), jnp.zeros_like(value)  # two buffers: both are donated
    return LeafState(value, length, first, second, jnp.zeros(length.shape, jnp.int32))


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


def update(
    state: LeafState,
    gradient: Float[Array, "U P *rest"],
    hyper: Hyperparameters,
    step: Int[Array, " U"] | None = None,
) -> LeafState:
    """One step of every slot's own optimizer. The learning rate is that of the run's `step`, the
    array's own unless it is given: what sits out steps does not lag behind the schedule, whereas
    moments count its own updates."""

    rate = _like(learning_rate(hyper, state.step if step is None else step), gradient)
    decay = _like(hyper.weight_decay, gradient)
    candidates = (
        _adafactor(state, gradient, hyper, rate, decay),
        _adamw(state, gradient, hyper, rate, decay),
        _sgd(state, gradient, hyper, rate, decay),
    )
    kind = _like(hyper.kind, gradient)

    def choose(*options: jax.Array) -> jax.Array:
        chosen = options[0]
        for i, option in enumerate(options[1:], start=1):
            chosen = jnp.where(kind == i, option, chosen)
        return chosen

    change, first, second = (choose(*parts) for parts in zip(*candidates, strict=True))
    return LeafState(state.value + change, state.length, first, second, state.step + 1)


Parts = tuple[jax.Array, jax.Array, jax.Array]


def _like(x: jax.Array, array: jax.Array) -> jax.Array:
    """A number a slot, with as many axes as an array of slots."""
    return x.reshape(-1, *[1] * (array.ndim - 1))


def _adafactor(
    state: LeafState, gradient: jax.Array, hyper: Hyperparameters, rate: jax.Array, decay: jax.Array
) -> Parts:
    """Shazeer & Stern 2018 with decay 1 - t^-0.8 and RMS clipping at 1; T5X's weight decay,
    which the learning rate does not scale."""
    t = (state.step + hyper.initial_step + 1).astype(jnp.float32)
    rest = _like(t, gradient) ** -0.8  # 1 - beta2, whose difference would lose 3 digits
    second = (1 - rest) * state.second + rest * (jnp.square(gradient) + 1e-30)
    scaled = gradient * jax.lax.rsqrt(second)
    real = real_positions(scaled, state.length)
    count = (state.length * math.prod(gradient.shape[2:])).astype(jnp.float32)
    axes = tuple(range(1, gradient.ndim))
    total = jnp.sum(jnp.where(real, jnp.square(scaled), 0), axis=axes)
    clip = jnp.maximum(1.0, jnp.sqrt(total / jnp.maximum(count, 1)))
    clipped = scaled / _like(clip, gradient)
    return -(rate * clipped + decay * state.value), state.first, second


def _adamw(
    state: LeafState, gradient: jax.Array, hyper: Hyperparameters, rate: jax.Array, decay: jax.Array
) -> Parts:
    """Loshchilov & Hutter 2019; epsilon 1e-8, weight decay scaled by the learning rate."""
    t = _like((state.step + 1).astype(jnp.float32), gradient)
    beta1, beta2 = _like(hyper.momentum, gradient), _like(hyper.beta2, gradient)
    first = beta1 * state.first + (1 - beta1) * gradient
    second = beta2 * state.second + (1 - beta2) * jnp.square(gradient)
    unbiased = first / (1 - beta1**t)
    scale = jnp.sqrt(second / (1 - beta2**t)) + 1e-8
    return -rate * (unbiased / scale + decay * state.value), first, second


def _sgd(
    state: LeafState, gradient: jax.Array, hyper: Hyperparameters, rate: jax.Array, decay: jax.Array
) -> Parts:
    """Heavy-ball momentum; weight decay decoupled and scaled by the learning rate."""
    first = gradient + _like(hyper.momentum, gradient) * state.first
    return -rate * (first + decay * state.value), first, state.second
