"""A random meta-prompt of a small model, also with a generator of its own."""

import numpy as np

from ptsys.kinds.registry import GENERATOR
from ptsys.kinds.trees import Tree
from ptsys.models.t5.config import T5Config
from ptsys.models.t5.generator import encoder_arrays, generator
from ptsys.models.t5.network import create


def random_meta(width: int, seed: int = 0, means: int = 3) -> Tree:
    draw = np.random.default_rng(seed)

    def array(*shape: int) -> np.ndarray:
        return (0.3 * draw.normal(size=shape)).astype(np.float32)

    return {
        "tokens": array(means + 1, width),
        "start": array(means, width),
        "tail": array(means, width, width),
        "summary": array(width, width),
        "label": array(width, width),
        "embedding_scale": np.array([0.7], np.float32),
    }


def with_generator(meta: Tree, config: T5Config, seed: int = 1) -> Tree:
    """The same with the encoder of another random model."""
    encoder = {path: np.array(x) for path, x in encoder_arrays(create(config, seed)).items()}
    return meta | {GENERATOR + path: array for path, array in generator(encoder).items()}
