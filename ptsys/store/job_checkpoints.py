"""A job's checkpoints: prompts, their optimizer states, and what they belong to."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from etils import epath

from ptsys.errors import Unavailable
from ptsys.store.checkpoints import Checkpoints
from ptsys.store.faults import is_passing

logger = logging.getLogger(__name__)

State = dict[str, Any]
"""Host arrays by name, or such dictionaries of them."""


class JobCheckpoints:
    """The checkpoints of one job, under `folder`. Only the holder of its lease may write."""

    def __init__(
        self,
        folder: epath.PathLike,
        identity: dict[str, Any],
        owns: Callable[[object], bool] | None = None,
    ) -> None:
        """`identity` (JSON) says what a state belongs to: job, data and model. A checkpoint with
        another one is of no use; `owns` tells which ones count as this one, without it itself."""
        self._folder = epath.Path(folder)
        self._identity = identity
        self._owns = owns or identity.__eq__
        self._opened: Checkpoints | None = None

    def restore(self, like: State) -> tuple[int, State] | None:
        """The newest readable step and its state, host arrays `like` these in shape and type;
        None if there is none. Unreadable ones are set aside, as otherwise their step could not be
        written again. Raises Unavailable where they may well be readable later."""
        restored = self.restore_noted(like)
        return None if restored is None else restored[:2]

    def restore_noted(self, like: State) -> tuple[int, State, dict[str, Any]] | None:
        """As `restore`, with what was noted beside the arrays."""
        if not self._folder.exists():
            return None
        store = self._store
        for step in sorted(store.steps(), reverse=True):
            try:
                state, notes = store.restore(like, step)
                if not self._owns(notes.get("identity")):
                    raise ValueError("it belongs to another model or to other data")
                arrays = jax.tree.map(
                    lambda wanted, value: np.asarray(value, wanted.dtype), like, state
                )
                return int(notes["step"]), arrays, notes.get("notes") or {}
            except Exception as error:  # Orbax and TensorStore raise many kinds for damaged files
                logger.warning(
                    "the checkpoint of step %d in %s is left out: %s",
                    step,
                    self._folder,
                    str(error).partition("\n")[0][:200],
                )
                if is_passing(error):
                    raise Unavailable(f"the checkpoint of step {step} cannot be read now") from None
                store.set_aside(step, self._aside)
        return None

    def save(self, step: int, state: State, notes: dict[str, Any] | None = None) -> None:
        """Write a state and JSON beside it, whole or not at all."""
        beside = {"notes": notes} if notes else {}
        self._store.save(step, state, {"step": step, "identity": self._identity, **beside})

    def forget(self) -> None:
        """Remove them all: the job has ended."""
        self.close()
        for folder in (self._folder, self._aside):
            if folder.exists():
                folder.rmtree(missing_ok=True)

    def close(self) -> None:
        """Free what reading and writing took."""
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()

    @property
    def _aside(self) -> epath.Path:
        """What could not be read, or is of other data: kept until the job ends."""
        return self._folder.with_name(f"{self._folder.name}.set-aside")

    @property
    def _store(self) -> Checkpoints:
        if self._opened is None:
            self._opened = Checkpoints(self._folder)
        return self._opened
