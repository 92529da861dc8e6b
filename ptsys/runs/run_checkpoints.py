"""Keeping what a training of a run has reached."""

from __future__ import annotations

from collections.abc import Callable

from ptsys.store.job_checkpoints import JobCheckpoints
from ptsys.training.course import Checkpoint


def keep(
    checkpoints: JobCheckpoints, checkpoint: Checkpoint, note: Callable[[str], object]
) -> None:
    """Write a checkpoint. If that is impossible, the reason is noted and training goes on: the next
    one may be kept."""
    try:
        checkpoints.save(checkpoint.step, checkpoint.arrays, checkpoint.notes)
    except Exception as error:  # Orbax and TensorStore raise many kinds
        reason = str(error).partition("\n")[0]
        note(f"the checkpoint of step {checkpoint.step} was not written: {reason}")
