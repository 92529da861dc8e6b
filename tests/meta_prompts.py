"""A random meta-prompt of a small model."""

import numpy as np

from ptsys.kinds.trees import Tree


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
