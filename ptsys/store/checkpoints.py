"""Orbax checkpoints of runs and jobs: numbered by step, atomic, the last few kept.

Imports jax; nothing of the light half of ptsys may import this module.
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

import jax
import orbax.checkpoint as ocp
from etils import epath

from ptsys.store.durable import keep, local, make_folder


def checkpointer() -> ocp.Checkpointer:
    """For one checkpoint on its own, written synchronously: Orbax's asynchronous
    `StandardCheckpointer` takes its operation ids from the whole process and hangs when several
    threads save at once. Of a group of processes this one reads and writes alone."""
    alone = _alone()
    return ocp.Checkpointer(
        ocp.StandardCheckpointHandler(multiprocessing_options=alone), multiprocessing_options=alone
    )


class Checkpoints:
    """The checkpoints under one folder (local or bucket). One writer at a time."""

    def __init__(self, folder: epath.PathLike, keep: int = 2) -> None:
        # Orbax reads from absolute paths only; a bucket's URL would be taken for a relative one
        near = local(folder)
        place = epath.Path(folder if near is None else near.absolute())
        make_folder(place)
        self._place = place
        self._manager = ocp.CheckpointManager(
            place,
            options=ocp.CheckpointManagerOptions(
                max_to_keep=keep,
                enable_async_checkpointing=False,
                create=False,
                multiprocessing_options=_alone(),
            ),
        )

    def save(self, step: int, state: Any, notes: dict[str, Any] | None = None) -> None:
        """Write a pytree of arrays and JSON notes as the checkpoint of `step`.

        A checkpoint appears whole or not at all, and is on the disk when this returns; a step
        already written is left as it is.
        """
        if step in self._manager.all_steps():
            return
        self._manager.save(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardSave(state), notes=ocp.args.JsonSave(notes or {})
            ),
        )
        self._manager.wait_until_finished()
        keep(self._place / str(step))

    def steps(self) -> list[int]:
        """The steps written whole, in order."""
        return sorted(self._manager.all_steps())

    def set_aside(self, step: int, folder: epath.Path) -> None:
        """Move the checkpoint of a step into a folder beside this one, for instance a damaged one:
        its step can be written again. Raises OSError."""
        make_folder(folder)
        (self._place / str(step)).rename(folder / f"{step}-{time.time_ns()}")
        self._manager.reload()

    def latest(self) -> int | None:
        """The newest step written whole."""
        step: int | None = self._manager.latest_step()
        return step

    def restore(self, like: Any, step: int | None = None) -> tuple[Any, dict[str, Any]]:
        """State and notes of `step` (the newest if None), placed as `like` is placed.

        `like` is a pytree of arrays or `ShapeDtypeStruct`s with shardings.
        Raises FileNotFoundError where there is no checkpoint.
        """
        step = self.latest() if step is None else step
        if step is None:
            raise FileNotFoundError(f"no checkpoint in {self._manager.directory}")
        restored = self._manager.restore(
            step,
            args=ocp.args.Composite(
                state=ocp.args.StandardRestore(jax.tree.map(_abstract, like)),
                notes=ocp.args.JsonRestore(),
            ),
        )
        return restored["state"], restored["notes"]

    def close(self) -> None:
        """Finish and free the manager's threads."""
        self._manager.close()

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _alone() -> ocp.options.MultiprocessingOptions:
    """Nobody else takes part: of a group of processes, the others know nothing of it."""
    if jax.process_count() == 1:
        return ocp.options.MultiprocessingOptions()
    process = jax.process_index()
    return ocp.options.MultiprocessingOptions(
        primary_host=process,
        active_processes={process},
        barrier_sync_key_prefix=f"process-{process}",
    )


def _abstract(x: Any) -> jax.ShapeDtypeStruct:
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=getattr(x, "sharding", None) or device)
