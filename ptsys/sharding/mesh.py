"""The mesh of one process's devices, and programs that run once on each of its shards.

Rows of interactive requests and slots of residents spread over the mesh's `data` axis; the frozen
model lies whole on every shard of it. The shards never wait for one another: no program of ours
sums or gathers over `data`. (On a CPU such programs can also stop for good, when several of them
share a pool of as many threads as there are shards.)
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

DATA = "data"
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


def local_mesh(shards: int | None = None) -> Mesh:
    """All devices of this process, or the first `shards` of them, along `data`."""
    devices = jax.local_devices()[:shards]
    return Mesh(np.array(devices), (DATA,))


def shards_of(mesh: Mesh | None) -> int:
    """How many data shards; without a mesh there is one."""
    return 1 if mesh is None else int(mesh.shape[DATA])


def placed(mesh: Mesh | None, spec: PartitionSpec) -> NamedSharding | None:
    """The sharding of an array of `spec`; None leaves it where it is."""
    return None if mesh is None else NamedSharding(mesh, spec)


def each_shard(mesh: Mesh | None, function: Function, inputs: Any, outputs: Any) -> Function:
    """`function` run once on every data shard, each with its part of the arguments. `inputs` and
    `outputs` are pytree prefixes of `ROWS` and `WHOLE`."""
    if shards_of(mesh) == 1:
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
