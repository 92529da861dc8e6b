"""The pretraining step on episodes: the encoder reads a task's examples, emits a prompt, and that
prompt alone tells the task for other rows of it. Everything learns together.

Where the task is the bank's, the bank's own prompt of it answers the same rows; it is the teacher:
the emitted prompt's answers are drawn to the teacher's (Hinton et al. 2015), and the part that says
what kind of task it is to the teacher's change from the shared prompt.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from ptsys.kinds.batch import Readings, gather
from ptsys.models.t5.kind import token_readings
from ptsys.models.t5.network import T5
from ptsys.models.t5.reading import tokens_before
from ptsys.passes.emit import MEANS, assemble, read
from ptsys.passes.frozen import Structure
from ptsys.pretraining.step import (
    PretrainState,
    Steering,
    Trained,
    bank_changes,
    computing,
    updated,
)


@dataclasses.dataclass(frozen=True)
class Reading:
    """How episodes are drawn and weighed.

    Of the emitted prompts `mean_only` lack what stands side by side and `pairs_only` the mean. A
    description is read beside the examples in `described` of the episodes that have one, and in
    `description_only` of them instead of any example. `width` is the most positions that stand
    side by side. `distillation` and `regression` weigh the teacher's answers and its prompt.
    """

    mean_only: float = 0.3
    pairs_only: float = 0.1
    described: float = 0.25
    description_only: float = 0.1
    width: int = 96
    distillation: float = 1.0
    regression: float = 0.1


class Tasks(NamedTuple):
    """N tasks to draw from, `total` of them real: see `ptsys.pretraining.episodes.EpisodePool`."""

    reading: Int[Array, "N R X"]
    inputs: Int[Array, "N R L"]
    targets: Int[Array, "N R T"]
    rows: Int[Array, " N"]
    traits: Int[Array, "N M"]
    description: Int[Array, "N X"]
    total: Int[Array, ""]


class Episode(NamedTuple):
    """E drawn episodes: texts to read [E, K + 1, X], the last of them the description; rows to
    answer [E, Q]; the tasks' traits; which parts their prompts have."""

    texts: Int[Array, "E K X"]
    inputs: Int[Array, "E Q L"]
    targets: Int[Array, "E Q T"]
    traits: Int[Array, "E M"]
    kind: Array
    pairs: Array


class ReadingMetrics(NamedTuple):
    """Sums of one step over rows of fresh tasks, of bank tasks, and of bank tasks under the
    teacher (`READ`): loss, tokens, rows and rows predicted whole."""

    loss: Float[Array, "*3"]
    tokens: Float[Array, "*3"]
    rows: Float[Array, "*3"]
    exact: Float[Array, "*3"]


READ = ("read", "read_bank", "teacher")
"""The kinds of rows that `ReadingMetrics` tells apart."""


def draw_episodes(
    key: jax.Array, tasks: Tasks, episodes: int, examples: int, queries: int, options: Reading
) -> Episode:
    """Episodes with 1 to `examples` examples, log-uniform, and other rows to answer."""
    keys = jax.random.split(key, 6)
    task = jax.random.randint(keys[0], (episodes,), 0, tasks.total)
    count = tasks.rows[task]
    size = tasks.inputs.shape[1]
    late = jnp.where(jnp.arange(size)[None, :] >= count[:, None], 2.0, 0.0)
    order = jnp.argsort(jax.random.uniform(keys[1], (episodes, size)) + late, axis=1)
    most = jnp.log(jnp.minimum(examples, count - queries).astype(jnp.float32) + 0.999)
    drawn = jnp.floor(jnp.exp(jax.random.uniform(keys[2], (episodes,)) * most)).astype(jnp.int32)
    described = jnp.any(tasks.description[task] > 0, axis=1)
    chance = jax.random.uniform(keys[3], (episodes,))
    alone = described & (chance < options.description_only)
    described &= chance < options.description_only + options.described
    drawn = jnp.where(alone, 0, drawn)
    shown = order[:, :examples]
    given = jnp.arange(examples)[None, :, None] < drawn[:, None, None]
    texts = jnp.where(given, tasks.reading[task[:, None], shown], 0)
    description = jnp.where(described[:, None], tasks.description[task], 0)
    asked = jnp.take_along_axis(order, drawn[:, None] + jnp.arange(queries)[None, :], axis=1)
    part = jax.random.uniform(keys[4], (episodes,))
    pairs = (part >= options.mean_only) & ~alone
    kind = alone | (part < 1 - options.pairs_only)
    texts = jnp.concatenate([texts, description[:, None]], axis=1)
    return Episode(
        texts.astype(jnp.int32),
        tasks.inputs[task[:, None], asked].astype(jnp.int32),
        tasks.targets[task[:, None], asked].astype(jnp.int32),
        tasks.traits[task],
        kind,
        pairs,
    )


@functools.partial(
    jax.jit,
    static_argnames=(
        *("structure", "transform", "episodes", "examples", "queries", "label_tokens"),
        *("steering", "options"),
    ),
    donate_argnames="state",
)
def reading_step(
    structure: Structure,
    transform: optax.GradientTransformation,
    episodes: int,
    examples: int,
    queries: int,
    label_tokens: int,
    steering: Steering,
    options: Reading,
    state: PretrainState,
    bank: Tasks,
    fresh: Tasks,
) -> tuple[PretrainState, ReadingMetrics]:
    """One update on so many episodes, half of bank tasks and half of fresh ones, drawn by the
    step's number."""
    half = episodes // 2
    one, two = jax.random.split(jax.random.key(state.step))
    drawn = [
        draw_episodes(key, tasks, half, examples, queries, options)
        for key, tasks in ((one, bank), (two, fresh))
    ]
    episode = Episode(*(jnp.concatenate(parts) for parts in zip(*drawn, strict=True)))

    def loss(trained: Trained) -> tuple[jax.Array, ReadingMetrics]:
        model = computing(trained.leaves, structure, steering)
        texts = episode.texts.reshape(-1, episode.texts.shape[-1])
        prompts = assemble(
            read(model, trained.meta, texts, label_tokens),
            *(episodes, trained.shared[-MEANS:], options.width),
            kind=episode.kind,
            pairs=episode.pairs,
        )
        log_p, own = _answers(model, prompts, episode)
        change = bank_changes(trained, episode.traits[:half], steering.bound)[:, -MEANS:]
        teachers = token_readings(
            trained.shared[None, -MEANS:] + change, jnp.full((half,), MEANS, jnp.int32)
        )
        of_bank = Episode(*(part[:half] for part in episode))
        log_t, teacher = _answers(model, teachers, of_bank)
        log_t = jax.lax.stop_gradient(log_t)
        real = (of_bank.targets.reshape(len(log_t), -1) > 0)[..., None]
        drawn_away = jnp.where(real, jnp.exp(log_t) * (log_t - log_p[: len(log_t)]), 0)
        taught = jnp.sum(teacher.tokens)
        loss = jnp.sum(own.loss) / jnp.sum(own.tokens) + jnp.sum(teacher.loss) / taught
        loss += options.distillation * jnp.sum(drawn_away) / taught
        loss += options.regression * _distance(prompts, trained, change, episode.kind[:half])
        metrics = ReadingMetrics(
            *(
                jnp.stack([jnp.sum(x[len(y) :]), jnp.sum(x[: len(y)]), jnp.sum(y)])
                for x, y in zip(own, teacher, strict=True)
            )
        )
        return loss, metrics

    gradients, metrics = jax.grad(loss, has_aux=True)(state.trained)
    return updated(state, transform, gradients), metrics


def _answers(
    model: T5, prompts: Readings, episode: Episode
) -> tuple[Float[Array, "B T V"], ReadingMetrics]:
    """Log-probabilities of every row's teacher-forced answers under its task's prompt, and every
    row's own numbers."""
    tasks, queries = episode.inputs.shape[:2]
    inputs = episode.inputs.reshape(tasks * queries, -1)
    targets = episode.targets.reshape(tasks * queries, -1)
    own = gather(prompts, jnp.repeat(jnp.arange(tasks), queries))
    encoded = model.encode(inputs, *tokens_before(own))
    logits = model.decode(encoded, targets).astype(jnp.float32)
    log_p = jax.nn.log_softmax(logits)
    chosen = jnp.take_along_axis(log_p, targets[..., None], axis=-1)[..., 0]
    real = targets > 0
    best = jnp.where(real, jnp.argmax(log_p, axis=-1), 0)
    exact = jnp.all(best == targets, axis=1).astype(jnp.float32)
    sums = (
        jnp.sum(jnp.where(real, -chosen, 0), axis=1),
        jnp.sum(real, axis=1).astype(jnp.float32),
        jnp.ones_like(exact),
        exact,
    )
    return log_p, ReadingMetrics(*sums)


def _distance(
    prompts: Readings, trained: Trained, change: Float[Array, "E Q D"], real: Array
) -> Float[Array, ""]:
    """Mean squared difference of the emitted tails from the teachers', over the teachers' own mean
    square; only tails that say what kind of task it is count."""
    target = jax.lax.stop_gradient(change)
    tails = prompts.values["prompt"][: len(change), -MEANS:] - jax.lax.stop_gradient(
        trained.shared[None, -MEANS:]
    )
    scale = jnp.mean(jnp.square(target), axis=(1, 2)) + 1e-4
    far = jnp.mean(jnp.square(tails - target), axis=(1, 2)) / scale
    return jnp.sum(jnp.where(real, far, 0)) / jnp.maximum(jnp.sum(real.astype(far.dtype)), 1)
