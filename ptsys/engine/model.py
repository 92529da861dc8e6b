"""What the engine needs of a frozen model."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from ptsys.data.vocabulary import Vocabulary
from ptsys.passes.frozen import Frozen


@dataclasses.dataclass(frozen=True)
class ServedModel:
    """A frozen model on the device, its vocabulary and its shared prompt initialization."""

    name: str
    fingerprint: str
    frozen: Frozen
    vocabulary: Vocabulary
    initialization: NDArray[np.float32] | None
