"""The mesh of devices, and programs that run once on each of its data shards.

Rows of interactive requests and slots of residents spread over the mesh's `data` axis; the frozen
model lies on every data shard, spread there over the `model` axis as `ptsys.sharding.rules` says.
Programs are written for one data shard; what happens within it, over `model`, is the
partitioner's work. The data shards never wait for one another: no program of ours sums or gathers
over `data`, but for the lengths of loops where there is a `model` axis (`agreed`). (On a CPU such
programs can also stop for good, when several of them share a pool of as many threads as there are
shards.)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Float, Int

from ptsys.errors import InvalidInput

DATA = "data"
MODEL = "model"
ROWS = PartitionSpec(DATA)  # the leading axis lies spread over the data shards
WHOLE = PartitionSpec()  # every shard has all of it

Function = TypeVar("Function", bound=Callable[..., Any])


def use_every_core() -> None:
    """Make every core a device of its own where the CPU is the accelerator: XLA's CPU programs
    keep only their matrix products on more than one core. Call before JAX's first computation;
    without effect afterwards, and where XLA_FLAGS already says how many."""
    if "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", ""):
        return
    try:
        jax.config.update("jax_num_cpu_devices", len(os.sched_getaffinity(0)))
    except RuntimeError:  # JAX has begun
        return


def make_mesh(devices: Sequence[jax.Device], *, data: int | None = None, model: int = 1) -> Mesh:
    """A (data, model) mesh; `data` is what `model` leaves of the devices unless it is given.
    Neighbours along `model` are neighbours in `devices`. Raises InvalidInput where the numbers do
    not fit the devices."""
    data = data if data is not None else len(devices) // max(model, 1)
    if model < 1 or data < 1 or data * model != len(devices):
        raise InvalidInput(
            f"a mesh of data={data} and model={model} needs {max(data, 1) * max(model, 1)} "
            f"devices, there are {len(devices)}",
            field="mesh",
        )
    return Mesh(np.array(devices).reshape(data, model), (DATA, MODEL))


def local_mesh(shards: int | None = None, model: int = 1) -> Mesh:
    """All devices of this process, or enough of them for `shards` data shards of `model`
    devices each."""
    devices = jax.local_devices()[: None if shards is None else shards * model]
    return make_mesh(devices, model=model)


def shards_of(mesh: Mesh | None) -> int:
    """How many data shards; without a mesh there is one."""
    return 1 if mesh is None else int(mesh.shape[DATA])


def model_shards_of(mesh: Mesh | None) -> int:
    """Over how many devices a data shard's model is spread; without a mesh over one."""
    return 1 if mesh is None else int(mesh.shape.get(MODEL, 1))


def placed(mesh: Mesh | None, spec: PartitionSpec) -> NamedSharding | None:
    """The sharding of an array of `spec`; None leaves it where it is."""
    return None if mesh is None else NamedSharding(mesh, spec)


def each_shard(mesh: Mesh | None, function: Function, inputs: Any, outputs: Any) -> Function:
    """`function` run once on every data shard, each with its part of the arguments. `inputs` and
    `outputs` are pytree prefixes of `ROWS` and `WHOLE`."""
    if mesh is None or mesh.size == 1:
        return function
    spread: Any = jax.shard_map(
        function,
        mesh=mesh,
        in_specs=inputs,
        out_specs=outputs,
        axis_names={DATA},
        check_vma=False,
    )
    return spread  # type: ignore[no-any-return]


def whole_over_model(x: Float[Array, "*rest"]) -> Float[Array, "*rest"]:
    """`x` on every device of the `model` axis, if there is one. Left to itself the partitioner
    spreads hidden states over it and brings them together again before every product, for more
    traffic (measured on compiled programs, docs/plan.md)."""
    if spread_over_model() == 1:
        return x
    whole: jax.Array = jax.lax.with_sharding_constraint(x, WHOLE)
    return whole


def spread_within(x: Float[Array, "U ..."], over: PartitionSpec) -> Float[Array, "U ..."]:
    """`x` spread over the devices of the `model` axis, if there is one, each of its members as an
    array of `over` lies there."""
    if spread_over_model() == 1:
        return x
    lying: jax.Array = jax.lax.with_sharding_constraint(x, PartitionSpec(None, *over))
    return lying


def copied_over_model(x: Float[Array, "*rest"], parts: int) -> Float[Array, " G *rest"]:
    """A copy of `x` for each device of the `model` axis, if there is one and `parts` of something
    divide among them, else one. Where every device uses its own copy for its own parts, their
    gradients are added up on each device, and over the axis but once, for all uses together."""
    copies = spread_over_model()
    if parts % copies:
        copies = 1
    if copies == 1:
        return x[None]
    copied: jax.Array = jax.lax.with_sharding_constraint(
        jnp.broadcast_to(x[None], (copies, *x.shape)), PartitionSpec(MODEL)
    )
    return copied


def spread_over_model() -> int:
    """Over how many devices the partitioner spreads what has no place of its own: those of the
    `model` axis of the mesh in force."""
    mesh = jax.sharding.get_abstract_mesh()
    return 1 if MODEL in mesh.manual_axes else int(mesh.shape.get(MODEL, 1))


def agreed(steps: Int[Array, ""]) -> Int[Array, ""]:
    """The most steps that any data shard needs, for loops that hold collectives over `model`:
    every device then runs the loop as often, as partitioned programs must. Without a `model` axis,
    or outside of `each_shard`, every shard keeps its own number."""
    mesh = jax.sharding.get_abstract_mesh()
    if DATA not in mesh.manual_axes or mesh.shape.get(MODEL, 1) == 1:
        return steps
    most: jax.Array = jax.lax.pmax(steps, DATA)
    return most


def agreed_any(flags: Bool[Array, " B"]) -> Bool[Array, ""]:
    """Whether a flag of this data shard is true, or of any shard where `agreed` says so."""
    return agreed(jnp.any(flags).astype(jnp.int32)) > 0
