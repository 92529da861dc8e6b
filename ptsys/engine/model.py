"""What the engine needs of a frozen model."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
from jax.sharding import Mesh
from numpy.typing import NDArray

from ptsys.data.vocabulary import Vocabulary, load_vocabulary
from ptsys.engine.serving import Serving
from ptsys.models.loaded import LoadedModel
from ptsys.passes.frozen import Frozen, freeze


@dataclasses.dataclass(frozen=True)
class ServedModel:
    """A frozen model on the device, its vocabulary and its shared prompt initialization."""

    name: str
    fingerprint: str
    frozen: Frozen
    vocabulary: Vocabulary
    initialization: NDArray[np.float32] | None


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
    )
