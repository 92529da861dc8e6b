"""A frozen model on the device, with everything that jobs and requests need of it."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ptsys.engine.model import ServedModel, serve
from ptsys.models.config import T5Config
from ptsys.models.loaded import LoadedModel
from ptsys.models.parameters import flat_parameters
from ptsys.models.registry import Registry
from ptsys.prompts.initialization import COMMON


@dataclasses.dataclass(frozen=True)
class Workbench:
    """The engine's view of a frozen model, and what new prompts begin with."""

    served: ServedModel
    loaded: LoadedModel = dataclasses.field(repr=False)

    @property
    def config(self) -> T5Config:
        """The model's shape."""
        return self.loaded.config

    @functools.cached_property
    def embeddings(self) -> NDArray[np.float32]:
        """The token table [V, D] on the host; copied when first wanted."""
        table = flat_parameters(self.loaded.model)["token_embedder.embedding"]
        return np.asarray(table).astype(np.float32)

    @functools.cached_property
    def common_pieces(self) -> list[int]:
        """Ids of the vocabulary's most common pieces."""
        return self.served.vocabulary.common_pieces(COMMON)


def load_workbench(root: Path, name: str) -> Workbench:
    """Load a model once for this process. Raises NotFound, or InvalidInput if it is damaged."""
    loaded = Registry(root).load(name)
    return Workbench(serve(loaded), loaded)
