"""A tiny model and random batches of several users, for the tests of the passes."""

from __future__ import annotations

import numpy as np
from text_passes import Prompts, Rows

from ptsys.models.t5.config import T5Config
from ptsys.models.t5.decoding import Choices
from ptsys.models.t5.network import create
from ptsys.passes.frozen import Frozen, freeze

WIDTH = 16


def tiny(vocabulary: int, *, seed: int = 0, sharpness: float = 3.0) -> Frozen:
    """A random 2 + 2 layer model; `sharpness` makes some tokens much likelier than others."""
    config = T5Config(
        vocab_size=vocabulary,
        d_model=WIDTH,
        num_heads=2,
        head_dim=8,
        d_ff=32,
        encoder_layers=2,
        decoder_layers=2,
    )
    model = create(config, seed)
    kernel = model.decoder.logits_dense.kernel
    kernel[...] = kernel[...] * sharpness
    return freeze(model)


def prompts(lengths: list[int], width: int, seed: int = 0, scale: float = 1.0) -> Prompts:
    """Random prompts, right-aligned in `width`, zeros on their left."""
    random = np.random.default_rng(seed)
    values = np.zeros((len(lengths), width, WIDTH), np.float32)
    for i, length in enumerate(lengths):
        values[i, width - length :] = random.normal(0, scale, (length, WIDTH))
    return Prompts(values, np.array(lengths, np.int32))


def tokens(rows: int, width: int, vocabulary: int, random: np.random.Generator) -> np.ndarray:
    """Rows of 1 to `width` random tokens that end with 1, then zeros."""
    made = np.zeros((rows, width), np.int32)
    for row in made:
        length = int(random.integers(1, width + 1))
        row[: length - 1] = random.integers(2, vocabulary, length - 1)
        row[length - 1] = 1
    return made


def rows(
    slot: list[int], vocabulary: int = 64, inputs: int = 6, targets: int = 4, seed: int = 0
) -> Rows:
    """Random rows of the given slots."""
    random = np.random.default_rng(seed)
    return Rows(
        tokens(len(slot), inputs, vocabulary, random),
        tokens(len(slot), targets, vocabulary, random),
        np.array(slot, np.int32),
    )


def wishes(count: int, max_tokens: int, seed: int = 0) -> Choices:
    """Random choices for every row."""
    random = np.random.default_rng(seed)
    return Choices(
        limit=random.integers(1, max_tokens + 1, count).astype(np.int32),
        temperature=random.uniform(0.3, 2, count).astype(np.float32),
        top_p=random.uniform(0.3, 1, count).astype(np.float32),
        seed=random.integers(0, 2**31, count).astype(np.uint32),
        length_penalty=random.uniform(0, 2, count).astype(np.float32),
    )


def bits(x: object) -> bytes:
    """The bytes of an array, so that NaN equals NaN and -0.0 differs from 0.0."""
    return np.asarray(x).tobytes()
