"""A name for a model's weights that does not depend on the file they came from."""

from __future__ import annotations

import hashlib
import sys

import numpy as np

from ptsys.models.parameters import flat_parameters
from ptsys.models.t5.network import T5

CHARACTERS = 16


def fingerprint(model: T5) -> str:
    """The first 16 hex characters of a sha256 over (path, shape, values) of every parameter.

    Paths are hashed in sorted order and values as little-endian float32, one tensor at a time, so
    the same weights read from Hugging Face, T5X or Orbax files have the same fingerprint, and so
    do bfloat16 weights and their exact float32 copies.
    """
    digest = hashlib.sha256()
    for path, array in sorted(flat_parameters(model).items()):
        values = np.ascontiguousarray(np.asarray(array).astype(np.float32))
        if sys.byteorder == "big":
            values = values.byteswap()
        digest.update(f"{path}\0{','.join(map(str, values.shape))}\0".encode())
        digest.update(values.data)
    return digest.hexdigest()[:CHARACTERS]
