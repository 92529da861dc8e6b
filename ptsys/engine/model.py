"""What the engine needs of a frozen model."""

from __future__ import annotations

import dataclasses
import functools

import jax
import numpy as np
from jax.sharding import Mesh
from numpy.typing import NDArray

from ptsys.data.vocabulary import Vocabulary, load_vocabulary
from ptsys.engine.serving import Serving
from ptsys.kinds.model_kind import RowCoder
from ptsys.kinds.registry import row_coder
from ptsys.kinds.trees import Layout, Tree
from ptsys.models.loaded import LoadedModel
from ptsys.passes.frozen import Frozen, freeze


@dataclasses.dataclass(frozen=True)
class ServedModel:
    """A frozen model on the device, its vocabulary, its shared prompt initialization and the
    meta-prompt that comes with it."""

    name: str
    fingerprint: str
    frozen: Frozen
    vocabulary: Vocabulary
    initialization: NDArray[np.float32] | None
    meta_prompt: Tree | None = None

    @functools.cached_property
    def rows(self) -> RowCoder:
        """How its rows are coded."""
        config = self.frozen.config
        coder: RowCoder = row_coder(config.kind)(config, self.vocabulary)
        return coder

    @property
    def no_prompt(self) -> Layout:
        """The padded shapes of a prompt that is not there."""
        return self.frozen.kind.no_prompt


def serve(
    loaded: LoadedModel, mesh: Mesh | None = None, serving: Serving | None = None
) -> ServedModel:
    """A loaded model made ready for the engine, on all devices of this process unless `mesh`
    names others. Raises InvalidInput for a damaged vocabulary."""
    config, serving = loaded.config, serving or Serving()
    mesh = mesh or serving.mesh(jax.local_devices())
    return ServedModel(
        name=loaded.name,
        fingerprint=loaded.fingerprint,
        frozen=freeze(loaded.model, mesh, rules=serving.rules, execution=serving.execution(mesh)),
        vocabulary=load_vocabulary(
            config.tokenizer, loaded.vocabulary_path, config.vocab_size, loaded.sentinels
        ),
        initialization=loaded.initialization,
        meta_prompt=None if loaded.meta_prompt is None else dict(loaded.meta_prompt),
    )
