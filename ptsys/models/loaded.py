"""A frozen model in memory, with everything a worker needs to serve it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx

from ptsys.models.t5.config import T5Config
from ptsys.models.t5.network import T5

Placement = Callable[[T5Config], Mapping[str, jax.sharding.Sharding]]
"""Gives the sharding of every parameter, by dotted path, of a model of that configuration."""


@dataclasses.dataclass(frozen=True)
class LoadedModel:
    """A frozen model, split into its structure and its parameters as jitted functions want it.

    `initialization` is the float32 [length, d_model] start that all prompts of the model share;
    `vocabulary_path` a SentencePiece file, none for byT5, whose pieces `sentinels` ids for
    corrupted spans follow; `meta_prompt` are the arrays of the one that comes with the model.
    """

    name: str
    config: T5Config
    graphdef: nnx.GraphDef[T5]
    params: nnx.State[Any, Any]
    fingerprint: str
    vocabulary_path: Path | None = None
    initialization: np.ndarray | None = None
    sentinels: int = 100
    meta_prompt: Mapping[str, np.ndarray] | None = None

    @property
    def model(self) -> T5:
        """The module; shares its arrays with `params`."""
        model: T5 = nnx.merge(self.graphdef, self.params)
        return model
