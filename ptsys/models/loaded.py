"""A frozen model in memory, with everything a worker needs to serve it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from flax import nnx

from ptsys.models.config import T5Config
from ptsys.models.t5 import T5


@dataclasses.dataclass(frozen=True)
class LoadedModel:
    """A frozen model, split into its structure and its parameters as jitted functions want it.

    `initialization` is the float32 [length, d_model] start that all prompts of the model share;
    `vocabulary_path` a SentencePiece file, or none for byT5.
    """

    name: str
    config: T5Config
    graphdef: nnx.GraphDef[T5]
    params: nnx.State
    fingerprint: str
    vocabulary_path: Path | None = None
    initialization: np.ndarray | None = None

    @property
    def model(self) -> T5:
        """The module; shares its arrays with `params`."""
        model: T5 = nnx.merge(self.graphdef, self.params)
        return model
