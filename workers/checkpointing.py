"""A job's checkpoints: the prompt, its optimizer state, and what they belong to."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from etils import epath

from ptsys.engine.residents import Snapshot
from ptsys.store.checkpoints import Checkpoints

logger = logging.getLogger(__name__)


class JobCheckpoints:
    """The checkpoints of one job, under `folder`. Only the holder of its lease may write."""

    def __init__(self, folder: epath.PathLike, identity: dict[str, Any]) -> None:
        """`identity` (JSON) says what a state belongs to: job, data and model. A checkpoint with
        another one is of no use."""
        self._folder = epath.Path(folder)
        self._identity = identity
        self._opened: Checkpoints | None = None

    def restore(self, length: int, d_model: int) -> Snapshot | None:
        """The newest readable state; None if there is none. Unreadable ones are removed, as
        otherwise their step could not be written again."""
        if not self._folder.exists():
            return None
        blank = np.zeros((length, d_model), np.float32)
        like = {"prompt": blank, "first": blank, "second": blank}
        store = self._store
        for step in sorted(store.steps(), reverse=True):
            try:
                state, notes = store.restore(like, step)
                if notes.get("identity") != self._identity:
                    raise ValueError("it belongs to another model or to other data")
                arrays = {name: np.asarray(value, np.float32) for name, value in state.items()}
                return Snapshot(int(notes["step"]), **arrays)
            except Exception as error:  # Orbax and TensorStore raise many kinds for damaged files
                logger.warning(
                    "the checkpoint of step %d in %s is left out: %s",
                    step,
                    self._folder,
                    str(error).partition("\n")[0][:200],
                )
                store.delete(step)
        return None

    def save(self, snapshot: Snapshot) -> None:
        """Write a state, whole or not at all."""
        state = {
            "prompt": snapshot.prompt,
            "first": snapshot.first,
            "second": snapshot.second,
        }
        notes = {"step": snapshot.step, "identity": self._identity}
        self._store.save(snapshot.step, state, notes)

    def forget(self) -> None:
        """Remove them all: the job has ended."""
        self.close()
        if self._folder.exists():
            self._folder.rmtree(missing_ok=True)

    def close(self) -> None:
        """Free what reading and writing took."""
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()

    @property
    def _store(self) -> Checkpoints:
        if self._opened is None:
            self._opened = Checkpoints(self._folder)
        return self._opened
