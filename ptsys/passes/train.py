"""The training step: gradient and update of many residents in one compiled pass."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ptsys.kinds.batch import Prompts, Rows, take_slots
from ptsys.passes.frozen import Frozen
from ptsys.passes.gradients import slot_gradients
from ptsys.passes.optimizers import Hyperparameters, SlotState, update
from ptsys.sharding.mesh import ROWS, WHOLE, each_shard


class TrainMetrics(NamedTuple):
    """Of every slot that took part: loss before the update (nats a token), gradient norm."""

    loss: Float[Array, " U"]
    gradient_norm: Float[Array, " U"]


@functools.partial(jax.jit, donate_argnames=("state",), static_argnames=("packed",))
def train_step(
    frozen: Frozen,
    state: SlotState,
    hyper: Hyperparameters,
    residents: Int[Array, " U"],
    rows: Rows,
    *,
    packed: bool = False,
) -> tuple[SlotState, TrainMetrics]:
    """Advance the named residents by one step; all other slots of `state` keep their bits, and
    so does a resident without a target token in `rows`.

    `state` and `hyper` hold every slot of the device (C of them); `residents` names the U that
    take part, C or more being padding; `rows.slot` counts within those U. On a mesh each of the
    N data shards has C / N of the slots and trains them on its own, without a word to the others:
    the arguments are the shards' one after another, and numbers count within a shard. `packed`:
    see `ptsys.passes.gradients.chunk_size`.
    """
    own = functools.partial(_shard_step, packed)
    step = each_shard(frozen.mesh, own, (WHOLE, ROWS, ROWS, ROWS, ROWS), ROWS)
    return step(frozen, state, hyper, residents, rows)


def _shard_step(
    packed: bool,
    frozen: Frozen,
    state: SlotState,
    hyper: Hyperparameters,
    residents: jax.Array,
    rows: Rows,
) -> tuple[SlotState, TrainMetrics]:
    part: SlotState = jax.tree.map(lambda x: take_slots(x, residents, 0), state)
    own: Hyperparameters = jax.tree.map(lambda x: take_slots(x, residents, 0), hyper)
    prompts = Prompts(part.prompt, part.length)
    found = slot_gradients(frozen, prompts, rows, own.z_loss, packed=packed)
    new = update(part, found.values, own)
    target = jnp.where((residents >= 0) & (found.tokens > 0), residents, state.step.shape[0])
    state = jax.tree.map(lambda x, y: x.at[target].set(y, mode="drop"), state, new)
    norm = jnp.sqrt(jnp.sum(jnp.square(found.values), axis=(1, 2)))
    return state, TrainMetrics(found.loss, norm)
