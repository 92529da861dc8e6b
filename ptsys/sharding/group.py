"""A group: processes that serve one model together, on one mesh of all their devices.

Process 0 leads: it alone takes work, and tells the others what to run (`ptsys.sharding.leading`,
`ptsys.sharding.following`).
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from ptsys.config import Settings
from ptsys.errors import InvalidInput

if TYPE_CHECKING:
    from jax.sharding import Mesh

GROUP_ENDED = 75
"""Exit code of every process of a group that has lost one: start them all again. (EX_TEMPFAIL.)"""


@dataclasses.dataclass(frozen=True)
class Group:
    """Which group this process belongs to, and how patient it is (seconds). `port` is where
    process 0 tells the others what to do, on the coordinator's host."""

    coordinator: str
    processes: int
    process: int
    port: int
    token: str | None = dataclasses.field(default=None, repr=False)
    join_seconds: float = 600.0
    silence_seconds: float = 10.0
    step_seconds: float = 600.0

    @property
    def host(self) -> str:
        """The coordinator's host."""
        return self.coordinator.rpartition(":")[0].strip("[]")

    @property
    def leads(self) -> bool:
        """This process is number 0."""
        return self.process == 0


def group_of(settings: Settings) -> Group | None:
    """The group that the settings, or a TPU pod, put this process into; None if it is alone.

    Raises InvalidInput where something is missing or does not fit.
    """
    given = (settings.coordinator, settings.processes, settings.process_id)
    if any(x is None for x in given):
        given = _detected(*given)
    coordinator, processes, process = given
    if coordinator is None and processes is None and process is None:
        return None
    if coordinator is None or processes is None or process is None:
        missing = [
            name
            for name, x in zip(("coordinator", "processes", "process_id"), given, strict=True)
            if x is None
        ]
        names = " and ".join(f"PTSYS_{name.upper()}" for name in missing)
        raise InvalidInput(f"a group of processes also needs {names}", field=missing[0])
    if processes == 1:
        return None
    if process >= processes:
        raise InvalidInput(
            f"process_id is {process}; {processes} processes count from 0 to {processes - 1}",
            field="process_id",
        )
    return Group(
        coordinator,
        processes,
        process,
        settings.group_port or _port(coordinator) + 1,
        settings.group_token,
        settings.join_seconds,
        settings.silence_seconds,
        settings.step_seconds,
    )


def _port(coordinator: str) -> int:
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65535:
        raise InvalidInput(
            f"the coordinator is {coordinator!r}; give host:port of process 0", field="coordinator"
        )
    return int(port)


def _detected(
    coordinator: str | None, processes: int | None, process: int | None
) -> tuple[str | None, int | None, int | None]:
    """What a Cloud TPU pod tells of itself in place of what was not given; nothing elsewhere."""
    from jax._src import clusters, hardware_utils

    if hardware_utils.num_available_tpu_chips_and_device_id()[0] == 0:
        return coordinator, processes, process
    try:
        found = clusters.ClusterEnv.auto_detect_unset_distributed_params(
            coordinator, processes, process, None, None, 60
        )
    except Exception as error:  # what it asks differs from cloud to cloud
        raise InvalidInput(
            f"this machine does not tell which TPU hosts belong together ({error}); set "
            "PTSYS_PROCESSES=1 with any PTSYS_COORDINATOR and PTSYS_PROCESS_ID=0 if it is alone",
            field="processes",
        ) from error
    return found[0], found[1], found[2]


def initialize(group: Group) -> None:
    """Make JAX see the devices of all processes; every one of them has to call it. Before JAX's
    first computation. Raises what JAX raises when a process does not come."""
    import jax

    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.config.update("jax_cpu_enable_async_dispatch", False)  # gloo's order is the program's
    jax.config.update("jax_enable_recoverability", True)  # we end the group, JAX need not
    jax.config.update("jax_enable_preemption_service", False)  # it would take SIGTERM from us
    jax.distributed.initialize(
        group.coordinator,
        num_processes=group.processes,
        process_id=group.process,
        initialization_timeout=max(1, round(group.join_seconds)),
    )


def group_mesh(model: int = 1) -> Mesh:
    """All devices of all processes, those of one process side by side, `model` of them to a data
    shard."""
    import jax

    from ptsys.sharding.mesh import make_mesh

    return make_mesh(jax.devices(), model=model)


def mesh_told(mesh: Mesh) -> dict[str, Any]:
    """A mesh as plain data, the same in all processes that have the same."""
    return {
        "axes": {str(name): int(size) for name, size in mesh.shape.items()},
        "devices": [
            [int(device.id), int(device.process_index), str(device.device_kind)]
            for device in mesh.devices.flat
        ],
    }


def spread(tree: Any, sharding: Any) -> Any:
    """Host arrays put where `sharding` says: whole on this process's devices, or of a mesh of
    several processes those parts that lie here. What lies so already stays. None leaves it to
    JAX."""
    import jax

    if sharding is None or sharding.is_fully_addressable:
        return jax.device_put(tree, sharding)

    def make(x: Any) -> Any:
        if isinstance(x, jax.Array) and x.sharding.is_equivalent_to(sharding, x.ndim):
            return x
        host = np.asarray(x)
        return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])

    return jax.tree.map(make, tree)
