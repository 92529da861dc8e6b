"""What the engine needs of a frozen model."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from ptsys.data.vocabulary import Vocabulary, load_vocabulary
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


def serve(loaded: LoadedModel) -> ServedModel:
    """A loaded model made ready for the engine. Raises InvalidInput for a damaged vocabulary."""
    config = loaded.config
    return ServedModel(
        name=loaded.name,
        fingerprint=loaded.fingerprint,
        frozen=freeze(loaded.model),
        vocabulary=load_vocabulary(
            config.tokenizer, loaded.vocabulary_path, config.vocab_size, loaded.sentinels
        ),
        initialization=loaded.initialization,
    )
