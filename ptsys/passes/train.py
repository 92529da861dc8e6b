"""The training step: gradient and update of many residents in one compiled pass."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float, Int

from ptsys.kinds.batch import Readings, Rows, take_each
from ptsys.kinds.prompt_kind import PromptKind, Reader
from ptsys.kinds.registry import prompt_kind
from ptsys.kinds.trees import Layout
from ptsys.passes.frozen import Frozen
from ptsys.passes.gradients import slot_gradients
from ptsys.passes.optimizers import Hyperparameters, LeafState, SlotState, update
from ptsys.sharding.mesh import ROWS, WHOLE, each_shard, spread_within

Context = dict[str, Any]
"""What V readings are made in, arrays [V, ...] by name."""

Hyper = dict[str, Hyperparameters]
"""Of every array of a prompt, a slot each. The z-loss is that of the first."""


class TrainMetrics(NamedTuple):
    """Of every slot that took part: loss before the update, the norm of the gradient of all its
    arrays, and the loss of each of its members (N of them)."""

    loss: Float[Array, " U"]
    gradient_norm: Float[Array, " U"]
    member_loss: Float[Array, "U N"]


@functools.partial(jax.jit, donate_argnames=("state",), static_argnames=("layout", "packed"))
def train_step(
    frozen: Frozen,
    state: SlotState,
    hyper: Hyper,
    residents: Int[Array, " U"],
    rows: Rows,
    context: Context,
    *,
    layout: Layout,
    packed: bool = False,
) -> tuple[SlotState, TrainMetrics]:
    """Advance the named residents by one step; all other slots of `state` keep their bits, and
    so does a resident without anything to learn from in `rows`, and each of its members.

    `state` and `hyper` hold every slot of the device (C of them); `residents` names the U that
    take part, C or more being padding; `rows.slot` counts the readings of those U, N of each with
    N members. `context` is what these readings are made in, in the same order, where the layout
    has any: a resident of such a layout learns in every step. On a mesh each of the data shards
    has its part of the slots and trains them on its own, without a word to the others: the
    arguments are the shards' one after another, and numbers count within a shard. `packed`: see
    `ptsys.kinds.model_kind.ModelKind.chunk`.
    """
    own = functools.partial(_shard_step, layout, packed)
    step = each_shard(frozen.mesh, own, (WHOLE, ROWS, ROWS, ROWS, ROWS, ROWS), ROWS)
    return step(frozen, state, hyper, residents, rows, context)


def _shard_step(
    layout: Layout,
    packed: bool,
    frozen: Frozen,
    state: SlotState,
    hyper: Hyper,
    residents: jax.Array,
    rows: Rows,
    context: Context,
) -> tuple[SlotState, TrainMetrics]:
    part, own = take_each(state, residents), take_each(hyper, residents)
    members, kind = layout.members, prompt_kind(layout.kind)
    lengths = {
        leaf.name: part.leaves[leaf.name].length[:, 0]
        if leaf.members
        else part.leaves[leaf.name].length
        for leaf in layout.leaves
    }
    reader = Reader(frozen.kind, frozen.model(), frozen.execution, context)
    given = {name: leaf.value for name, leaf in part.leaves.items()}
    fixed = {leaf.name: given.pop(leaf.name) for leaf in layout.leaves if leaf.fixed}
    values, pull, length = jax.vjp(
        lambda values: kind.resolve(values | fixed, lengths, layout, reader), given, has_aux=True
    )
    z_loss = jnp.repeat(next(iter(own.values())).z_loss, members)
    found = slot_gradients(
        frozen, Readings(values, length), rows, z_loss, members=members, packed=packed
    )
    towards, penalty = _penalized(kind, values, layout, reader)
    (gradients,) = pull(jax.tree.map(jnp.add, found.values, towards) if towards else found.values)
    tokens = found.tokens.reshape(-1, members)
    new = {
        leaf.name: _updated(part, leaf.name, gradients[leaf.name], own[leaf.name], leaf.members)
        for leaf in layout.leaves
        if not leaf.fixed
    }
    count = state.step.shape[0]
    taught = (jnp.sum(tokens, axis=1) > 0) | bool(layout.context)
    drawn = (residents >= 0) & taught
    target = jnp.where(drawn, residents, count)

    def put(x: jax.Array, y: jax.Array) -> jax.Array:
        return x.at[target].set(y, mode="drop")

    for leaf in layout.leaves:
        if leaf.members:  # those that were not drawn keep what they have
            new[leaf.name] = _kept(part.leaves[leaf.name], new[leaf.name], tokens > 0)
    leaves = state.leaves | {
        name: jax.tree.map(put, state.leaves[name], learned) for name, learned in new.items()
    }
    for leaf in layout.leaves:
        if leaf.like:
            over = frozen.structure.lies(leaf.like)
            leaves[leaf.name] = spread_leaf(leaves[leaf.name], over)
    squares = [jnp.sum(jnp.square(x), axis=tuple(range(1, x.ndim))) for x in gradients.values()]
    member_loss = found.loss.reshape(-1, members)
    loss = member_loss[:, 0]
    if members > 1:
        loss = jnp.sum(member_loss * tokens, axis=1) / jnp.maximum(jnp.sum(tokens, axis=1), 1)
    if penalty is not None:
        loss = loss + jnp.mean(penalty.reshape(-1, members), axis=1)
    metrics = TrainMetrics(loss, jnp.sqrt(sum(squares[1:], squares[0])), member_loss)
    return SlotState(leaves, put(state.step, part.step + 1)), metrics


def spread_leaf(leaf: LeafState, over: PartitionSpec) -> LeafState:
    """One array of many slots, and its optimizer state, each slot's spread within its data shard
    as an array of `over` is."""
    return LeafState(*(spread_within(x, over) if x.ndim > 1 else x for x in leaf))


def _penalized(
    kind: PromptKind, values: dict[str, jax.Array], layout: Layout, reader: Reader
) -> tuple[dict[str, jax.Array], jax.Array | None]:
    """The gradient of each prompt's mean penalty for its readings, and each reading's penalty."""

    def mean(values: dict[str, jax.Array]) -> tuple[jax.Array, jax.Array]:
        each = kind.penalty(values, layout, reader)
        return jnp.sum(each) / layout.members, each

    if not layout.context or kind.penalty(values, layout, reader) is None:
        return {}, None
    slopes, each = jax.grad(mean, has_aux=True)(values)
    return slopes, each


def _updated(
    part: SlotState, name: str, gradient: jax.Array, hyper: Hyperparameters, members: int
) -> LeafState:
    """One array after the step; those of members are updated as slots of their own."""
    leaf = part.leaves[name]
    if not members:
        return update(leaf, gradient, hyper, part.step)

    def flat(x: jax.Array) -> jax.Array:
        return x.reshape(-1, *x.shape[2:])

    each = jax.tree.map(lambda x: jnp.repeat(x, members), hyper)
    new = update(jax.tree.map(flat, leaf), flat(gradient), each, jnp.repeat(part.step, members))
    whole: LeafState = jax.tree.map(lambda x, y: x.reshape(y.shape), new, leaf)
    return whole


def _kept(old: LeafState, new: LeafState, drawn: jax.Array) -> LeafState:
    """The new state of members that were drawn [U, N], the old one of others."""
    kept: LeafState = jax.tree.map(
        lambda x, y: jnp.where(drawn.reshape(*drawn.shape, *[1] * (x.ndim - 2)), y, x), old, new
    )
    return kept
